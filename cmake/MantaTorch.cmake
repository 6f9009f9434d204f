# LibTorch from the PyPI wheel as imported targets (not find_package(Torch): that wants a CUDA toolkit of its own).
# NCCL's and the CUDA runtime's headers and libraries come from the wheel's own folders, never from the machine:
# another version's ProcessGroupNCCL::Options has another size and corrupts the heap. The wheel's include folder also
# has headers of fmt, newer than Debian's library: a file that includes LibTorch must not use fmt.
find_path(MANTA_TORCH_ROOT lib/libtorch_cpu.so PATHS "${MANTA_SITE_PACKAGES}/torch" NO_DEFAULT_PATH)
if(NOT MANTA_TORCH_ROOT)
  message(FATAL_ERROR "LibTorch was not found in ${MANTA_DEPS}. Run scripts/setup, or configure with -DMANTA_WITH_TORCH=OFF.")
endif()
set(nvidia_root "${MANTA_SITE_PACKAGES}/nvidia")

add_library(manta_dep_torch INTERFACE)
target_compile_definitions(manta_dep_torch INTERFACE USE_C10D_GLOO USE_C10D_NCCL USE_DISTRIBUTED)
target_include_directories(manta_dep_torch SYSTEM INTERFACE
  "${nvidia_root}/nccl/include" "${nvidia_root}/cu13/include"
  "${MANTA_TORCH_ROOT}/include" "${MANTA_TORCH_ROOT}/include/torch/csrc/api/include")
target_link_options(manta_dep_torch INTERFACE
  "LINKER:-rpath,${MANTA_TORCH_ROOT}/lib:${nvidia_root}/nccl/lib:${nvidia_root}/cu13/lib"
  "LINKER:-rpath-link,${nvidia_root}/cu13/lib:${nvidia_root}/nccl/lib:${nvidia_root}/cudnn/lib:${nvidia_root}/nvshmem/lib:${nvidia_root}/cusparselt/lib"
  "LINKER:--allow-shlib-undefined")
target_link_libraries(manta_dep_torch INTERFACE
  "-Wl,--no-as-needed" "${MANTA_TORCH_ROOT}/lib/libtorch.so" "${MANTA_TORCH_ROOT}/lib/libtorch_cpu.so"
  "${MANTA_TORCH_ROOT}/lib/libtorch_cuda.so" "${MANTA_TORCH_ROOT}/lib/libc10_cuda.so"
  "${MANTA_TORCH_ROOT}/lib/libc10.so" "-Wl,--as-needed" "${nvidia_root}/nccl/lib/libnccl.so.2"
  Threads::Threads)
