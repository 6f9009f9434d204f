# manta_header_check(NAME HEADERS a.hpp… [INCLUDES folders…] LIBS targets…): an object library, not part of `all`, that
# compiles each header alone and twice: it includes what it needs, and only once. ninja and ccache see to it that only a
# header that changed costs anything.
function(manta_header_check name)
  cmake_parse_arguments(ARG "" "BASE" "HEADERS;INCLUDES;LIBS" ${ARGN})
  foreach(header IN LISTS ARG_HEADERS)
    set(source "${CMAKE_CURRENT_BINARY_DIR}/${name}/${header}.cpp")
    file(CONFIGURE OUTPUT "${source}" CONTENT "#include \"${header}\"\n#include \"${header}\"\n")
    list(APPEND sources "${source}")
  endforeach()
  add_library(${name} OBJECT EXCLUDE_FROM_ALL ${sources})
  target_include_directories(${name} PRIVATE ${ARG_INCLUDES})
  target_link_libraries(${name} PRIVATE manta_settings manta_warnings ${ARG_LIBS})
  # Syntax and includes are the question, not code.
  target_compile_options(${name} PRIVATE -O0 -g0 -U_FORTIFY_SOURCE)
endfunction()

# manta_header_check_test(TEST TARGET): a ctest that builds such a library.
function(manta_header_check_test test target)
  add_test(NAME ${test} COMMAND ${CMAKE_COMMAND} --build "${CMAKE_BINARY_DIR}" --target ${target} --parallel 1)
  # Two builds in one tree at a time would meet in ninja's log. One compiler, started first: beside it other tests run.
  set_tests_properties(${test} PROPERTIES TIMEOUT 900 RESOURCE_LOCK manta_build_tree COST 1000 LABELS house
                       ENVIRONMENT LC_ALL=C)
endfunction()
