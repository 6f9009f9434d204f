# Finds the third-party libraries: Debian packages for everything but LibTorch, which is the PyPI wheel in
# ${MANTA_DEPS} (default ~/.cache/manta), put there by scripts/setup.
find_package(Threads REQUIRED)
find_package(fmt REQUIRED)
find_package(ZLIB REQUIRED)

# Not find_package(CapnProto): Debian's config file looks for libatomic in a place where Debian does not put it.
find_program(CAPNP_EXECUTABLE capnp REQUIRED)
find_program(CAPNPC_CXX_EXECUTABLE capnpc-c++ REQUIRED)
find_library(CAPNP_LIBRARY capnp REQUIRED)
find_library(KJ_LIBRARY kj REQUIRED)
add_library(manta_dep_capnp INTERFACE)
target_link_libraries(manta_dep_capnp INTERFACE "${CAPNP_LIBRARY}" "${KJ_LIBRARY}")

find_path(CAF_INCLUDE_DIR caf/all.hpp REQUIRED)
find_library(CAF_CORE_LIBRARY caf_core REQUIRED)
add_library(manta_dep_caf INTERFACE)
target_include_directories(manta_dep_caf SYSTEM INTERFACE "${CAF_INCLUDE_DIR}")
target_link_libraries(manta_dep_caf INTERFACE "${CAF_CORE_LIBRARY}" Threads::Threads)

find_library(ROCKSDB_LIBRARY rocksdb REQUIRED)
add_library(manta_dep_rocksdb INTERFACE)
target_link_libraries(manta_dep_rocksdb INTERFACE "${ROCKSDB_LIBRARY}")

find_path(PROTOZERO_INCLUDE_DIR protozero/pbf_writer.hpp REQUIRED)  # headers only

# Headers only: linear algebra, L-BFGS-B, Sobol's sequence and special functions for the searchers that fit models.
find_path(EIGEN_INCLUDE_DIR Eigen/Core PATH_SUFFIXES eigen3 REQUIRED)
find_path(LBFGSPP_INCLUDE_DIR LBFGSB.h REQUIRED)
find_path(BOOST_INCLUDE_DIR boost/random/sobol.hpp REQUIRED)
add_library(manta_dep_eigen INTERFACE)
target_include_directories(manta_dep_eigen SYSTEM INTERFACE "${EIGEN_INCLUDE_DIR}")

if(MANTA_BUILD_TESTS)
  find_path(RAPIDCHECK_INCLUDE_DIR rapidcheck.h REQUIRED)
  find_library(RAPIDCHECK_LIBRARY rapidcheck REQUIRED)
  add_library(manta_dep_rapidcheck INTERFACE)
  target_include_directories(manta_dep_rapidcheck SYSTEM INTERFACE "${RAPIDCHECK_INCLUDE_DIR}")
  target_link_libraries(manta_dep_rapidcheck INTERFACE "${RAPIDCHECK_LIBRARY}")
endif()

find_library(XXHASH_LIBRARY xxhash REQUIRED)
add_library(manta_dep_xxhash INTERFACE)
target_link_libraries(manta_dep_xxhash INTERFACE "${XXHASH_LIBRARY}")

if(DEFINED ENV{MANTA_DEPS})
  set(MANTA_DEPS "$ENV{MANTA_DEPS}" CACHE PATH "Folder of the PyPI packages")
else()
  set(MANTA_DEPS "$ENV{HOME}/.cache/manta" CACHE PATH "Folder of the PyPI packages")
endif()
file(GLOB MANTA_SITE_PACKAGES "${MANTA_DEPS}/venv/lib/python3*/site-packages")

if(MANTA_WITH_TORCH)
  include(MantaTorch)
endif()
