# Runs one block of W1 and checks that the figures are there and make sense.
#   cmake -DBENCH=<sinter_bench> -DJSON=<file to write> -P smoke.cmake
file(REMOVE ${JSON})
execute_process(COMMAND ${BENCH} --workloads W1 --blocks 1 --json ${JSON} RESULT_VARIABLE failed)
if(failed)
  message(FATAL_ERROR "sinter_bench ended with ${failed}")
endif()
file(READ ${JSON} text)

# Fails unless the figure at this path is a number above 0.
function(expect_positive)
  string(JSON value ERROR_VARIABLE missing GET "${text}" ${ARGN})
  if(missing OR NOT value MATCHES "^[0-9.e+-]+$" OR NOT value GREATER 0)
    message(FATAL_ERROR "${ARGN}: ${value} ${missing}")
  endif()
endfunction()

foreach(key W1/sgd/step W1/sgd/steps W1/adam/step W1/adam/steps)
  foreach(field us_median us_min floor_us percent_of_floor flop)
    expect_positive(workloads ${key} ${field})
  endforeach()
  # Two products forward and three backward, each 100 x 10 multiply-adds.
  string(JSON flop GET "${text}" workloads ${key} flop)
  if(NOT flop EQUAL 10000)
    message(FATAL_ERROR "a step of ${key} counts as ${flop} FLOP")
  endif()
endforeach()
foreach(cores one_core all_cores)
  expect_positive(limits ${cores} gflops_registers)
  expect_positive(limits ${cores} gflops_loads)
  foreach(level L1 L2 L3 DRAM)
    foreach(kind read write rmw)
      expect_positive(limits ${cores} ${level}_gbs ${kind})
    endforeach()
  endforeach()
endforeach()

# The other things that it times, on a small scale.
foreach(arguments "--sweep;batches;--up-to;3" "--sweep;widths;--up-to;2" "--denormals")
  execute_process(COMMAND ${BENCH} ${arguments} RESULT_VARIABLE failed OUTPUT_VARIABLE text)
  if(failed OR NOT text MATCHES "[0-9]\\.[0-9][0-9]")
    message(FATAL_ERROR "sinter_bench ${arguments} ended with ${failed}:\n${text}")
  endif()
endforeach()
