# Compiler settings of every target: C++20, warnings as errors, hardening, ccache, sanitizers.
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_CXX_STANDARD_REQUIRED ON)
set(CMAKE_CXX_EXTENSIONS OFF)
set(CMAKE_POSITION_INDEPENDENT_CODE ON)
set(CMAKE_EXPORT_COMPILE_COMMANDS ON)
if(NOT CMAKE_BUILD_TYPE)
  set(CMAKE_BUILD_TYPE Release CACHE STRING "" FORCE)
endif()

find_program(MANTA_CCACHE ccache)
if(MANTA_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_CXX_COMPILER_LAUNCHER "${MANTA_CCACHE}")
endif()

# -O2: what the libraries below are built with; -O3 made the build 20 % longer and nothing faster.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -g0")
set(CMAKE_CXX_FLAGS_RELWITHDEBINFO "-O1 -g1")

add_library(manta_settings INTERFACE)
target_compile_definitions(manta_settings INTERFACE CEREAL_THREAD_SAFE=1)  # its tables of versions and of polymorphic types are of the whole process
target_include_directories(manta_settings INTERFACE "$<BUILD_INTERFACE:${CMAKE_SOURCE_DIR}>"
                           "$<INSTALL_INTERFACE:include/manta>")
add_library(manta_warnings INTERFACE)
target_compile_options(manta_warnings INTERFACE -Wall -Wextra -Werror -Wno-missing-field-initializers
                       -fstack-protector-strong)
if(NOT MANTA_SANITIZE AND CMAKE_BUILD_TYPE STREQUAL "Release")
  target_compile_options(manta_warnings INTERFACE -U_FORTIFY_SOURCE -D_FORTIFY_SOURCE=2)
endif()
target_link_options(manta_settings INTERFACE -Wl,-z,relro,-z,now)

if(MANTA_SANITIZE)
  # GCC 12 takes a moved-from variant for uninitialised once sanitizers have added their checks; -Wall still asks in other builds.
  target_compile_options(manta_warnings INTERFACE $<$<CXX_COMPILER_ID:GNU>:-Wno-maybe-uninitialized>)
  add_compile_options(-fsanitize=${MANTA_SANITIZE} -fno-omit-frame-pointer -fno-sanitize-recover=undefined)
  add_link_options(-fsanitize=${MANTA_SANITIZE})
  add_compile_definitions(MANTA_SANITIZED=1)
  if(MANTA_SANITIZE MATCHES "fuzzer")  # what the standard library and Cap'n Proto can check as well
    add_compile_definitions(_GLIBCXX_ASSERTIONS KJ_DEBUG)
  endif()
endif()
