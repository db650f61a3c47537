# Installs BUILD below SCRATCH, then builds and runs PROGRAM against what was installed.
file(REMOVE_RECURSE ${SCRATCH})
file(MAKE_DIRECTORY ${SCRATCH}/run)
execute_process(COMMAND ${CMAKE_COMMAND} --install ${BUILD} --prefix ${SCRATCH}/prefix
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)

# Every public header of the tree is there.
cmake_path(SET root NORMALIZE ${PROJECT}/../../..)
foreach(folder runtime ir compiler frontend)
  file(GLOB_RECURSE headers RELATIVE ${root}/${folder}/include ${root}/${folder}/include/*.h)
  foreach(header IN LISTS headers)
    if(NOT EXISTS ${SCRATCH}/prefix/include/${header})
      message(FATAL_ERROR "${folder}/include/${header} is not installed")
    endif()
  endforeach()
endforeach()

execute_process(COMMAND ${CMAKE_COMMAND} -G ${GENERATOR} -S ${PROJECT} -B ${SCRATCH}/build
                        -D CMAKE_PREFIX_PATH=${SCRATCH}/prefix -D PROGRAM=${PROGRAM}
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${CMAKE_COMMAND} --build ${SCRATCH}/build COMMAND_ERROR_IS_FATAL ANY)
execute_process(COMMAND ${SCRATCH}/build/program WORKING_DIRECTORY ${SCRATCH}/run
                OUTPUT_QUIET COMMAND_ERROR_IS_FATAL ANY)
