# manta_library(NAME SOURCES a.cpp … PUBLIC libs… PRIVATE libs…): one static library per folder.
function(manta_library name)
  cmake_parse_arguments(ARG "" "" "SOURCES;PUBLIC;PRIVATE" ${ARGN})
  add_library(${name} STATIC ${ARG_SOURCES})
  target_link_libraries(${name} PUBLIC manta_settings ${ARG_PUBLIC} PRIVATE manta_warnings ${ARG_PRIVATE})
endfunction()

# manta_executable(NAME SOURCES … LIBS …): an example, a bench or a tool.
function(manta_executable name)
  cmake_parse_arguments(ARG "" "" "SOURCES;LIBS" ${ARGN})
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE manta_settings manta_warnings ${ARG_LIBS})
endfunction()

# manta_test_timeout(NAME SECONDS): after which a test has failed; ThreadSanitizer makes code ten times slower.
function(manta_test_timeout name seconds)
  if(MANTA_SANITIZE STREQUAL "thread")
    math(EXPR seconds "10 * ${seconds}")
  endif()
  set_tests_properties(${name} PROPERTIES TIMEOUT ${seconds})
endfunction()

# manta_test(NAME SOURCES … LIBS … [TIMEOUT s] [LABELS …] [ARGS …]): one doctest program, one ctest.
function(manta_test name)
  cmake_parse_arguments(ARG "SERIAL" "TIMEOUT" "SOURCES;LIBS;LABELS;ARGS" ${ARGN})
  if(NOT MANTA_BUILD_TESTS)
    return()
  endif()
  if(NOT ARG_TIMEOUT)
    set(ARG_TIMEOUT 60)
  endif()
  add_executable(${name} ${ARG_SOURCES})
  target_link_libraries(${name} PRIVATE manta_settings manta_warnings ${ARG_LIBS})
  add_test(NAME ${name} COMMAND ${name} ${ARG_ARGS})
  manta_test_timeout(${name} ${ARG_TIMEOUT})
  if(ARG_LABELS)
    set_tests_properties(${name} PROPERTIES LABELS "${ARG_LABELS}")
  endif()
  if(ARG_SERIAL)
    set_tests_properties(${name} PROPERTIES RUN_SERIAL ON)
  endif()
endfunction()

# manta_capnp(NAME SCHEMA…): a library of the code generated from Cap'n Proto schemas, included as
# "runtime/wire/x.capnp.h" (the path below the source tree).
function(manta_capnp name)
  foreach(schema IN LISTS ARGN)
    set(input "${CMAKE_CURRENT_SOURCE_DIR}/${schema}")
    file(RELATIVE_PATH relative "${CMAKE_SOURCE_DIR}" "${input}")
    set(output "${CMAKE_BINARY_DIR}/generated/${relative}")
    add_custom_command(
      OUTPUT "${output}.c++" "${output}.h"
      COMMAND ${CMAKE_COMMAND} -E make_directory "${CMAKE_BINARY_DIR}/generated"
      COMMAND "${CAPNP_EXECUTABLE}" compile "-o${CAPNPC_CXX_EXECUTABLE}:${CMAKE_BINARY_DIR}/generated"
              "--src-prefix=${CMAKE_SOURCE_DIR}" "${input}"
      DEPENDS "${input}" VERBATIM)
    list(APPEND outputs "${output}.c++")
  endforeach()
  add_library(${name} STATIC ${outputs})
  target_include_directories(${name} SYSTEM PUBLIC "$<BUILD_INTERFACE:${CMAKE_BINARY_DIR}/generated>")
  target_link_libraries(${name} PUBLIC manta_dep_capnp manta_settings)
endfunction()
