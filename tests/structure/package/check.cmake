# Installs BUILD below SCRATCH, then builds and runs PROGRAM against what was installed.
file(REMOVE_RECURSE ${SCRATCH})
file(MAKE_DIRECTORY ${SCRATCH}/run)
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${SCRATCH}/prefix
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} -G ${GENERATOR} -S ${PROJECT} -B ${SCRATCH}/build
                        -D CMAKE_PREFIX_PATH=${SCRATCH}/prefix -D PROGRAM=${PROGRAM}
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${SCRATCH}/build COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${SCRATCH}/build/program WORKING_DIRECTORY ${SCRATCH}/run
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
