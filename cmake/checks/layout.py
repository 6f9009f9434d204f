"""Who may include whom: the table of docs/ARCHITECTURE.md as data.

A module is a folder; the longest one that holds a file is that file's module. "runtime:public" stands for the headers
at the root of runtime/, "runtime:facade" for the sources there; likewise for tune/ and train/.
"""

PUBLIC = ("runtime:public", "tune:public", "train:public")
RUNTIME = ("runtime:public", "runtime/base", "runtime/core", "runtime/store", "runtime/process", "runtime/gpu",
           "runtime/wire", "runtime/actors", "runtime/net", "runtime/cli")
TRAIN_ADAPTERS = ("train/torch", "train/models")
ANY = ("*",)

# module: the modules it may include besides itself
MODULES = {
    "runtime/base": (),
    "runtime/core": ("runtime/base",),
    "runtime/store": ("runtime/base",),
    "runtime/process": ("runtime/base",),
    "runtime/gpu": ("runtime/base",),
    "runtime/wire": ("runtime/base", "runtime/core"),
    # The public headers too: the actors implement the engine that they declare (runtime/engine.hpp).
    "runtime/actors": ("runtime/base", "runtime/core", "runtime/store", "runtime/wire", "runtime/process",
                       "runtime/gpu", "runtime:public"),
    "runtime/net": ("runtime/base", "runtime/wire"),
    "runtime/cli": RUNTIME,
    "runtime:public": ("runtime/base",),
    "runtime:facade": RUNTIME,
    "tune:public": ("runtime:public",),
    "tune:facade": ("runtime:public", "tune:public"),
    "tune": ("runtime:public", "tune:public"),
    "train:public": ("runtime:public",),
    "train:facade": ("runtime:public", "train:public"),
    "train": ("runtime:public", "train:public"),
    "examples": PUBLIC + TRAIN_ADAPTERS,
    "bench": PUBLIC,
    "tools": PUBLIC + ("tune",),
    "tests": ANY,
}

# Single headers that a module may include although the table above says no, with the reason.
EXCEPTIONS = {}

# first part of <…>: (modules that may include it, reason); "*" is everyone but runtime/base and runtime/core
THIRD_PARTIES = {
    "caf": (("runtime/actors",), "CAF stays inside the actor shells"),
    "rocksdb": (("runtime/store",), "RocksDB hides behind KeyValueStore"),
    "capnp": (("runtime/wire", "runtime/net", "runtime/store", "tune"), "Cap'n Proto is for borders and records"),
    "kj": (("runtime/wire", "runtime/net", "runtime/store", "tune"), "KJ comes with Cap'n Proto"),
    "torch": (("train", "examples"), "LibTorch is train's alone"),
    "ATen": (("train", "examples"), "LibTorch is train's alone"),
    "c10": (("train", "examples"), "LibTorch is train's alone"),
    "gloo": (("train",), "headers that ProcessGroupGloo.hpp needs"),
    "nccl.h": (("train",), "NCCL is train's alone"),
    "cuda.h": (("runtime/gpu", "train"), "CUDA stays in gpu and train"),
    "cuda_runtime.h": (("runtime/gpu", "train"), "CUDA stays in gpu and train"),
    "cuda_runtime_api.h": (("runtime/gpu", "train"), "CUDA stays in gpu and train"),
    "nvml.h": (("runtime/gpu",), "GPU discovery only"),
    "cereal": (("runtime:public", "runtime:facade", "runtime/actors", "tune", "train", "examples"),
               "the codec of user types"),
    "CLI": (("runtime/cli", "runtime:facade", "examples", "bench", "tools"), "command lines"),
    "protozero": (("tune",), "TensorBoard's files"),
    "fmt": (("*",), "text"),
    "nlohmann": (("runtime/cli", "runtime:facade", "tune", "train"), "JSON files"),
    "boost": (("tune",), "distribution functions and Sobol points"),
    "zlib.h": (("train",), "gzipped data sets"),
    "xxhash.h": (("runtime/store", "runtime/actors", "runtime:facade", "train", "bench"), "checksums"),
    "tbb": (("bench",), "a rival, measured beside ours"),
    "ray": (("bench",), "bench/peers runs the same work in Ray"),
    "Eigen": (("tune", "tests"), "linear algebra of the searchers that fit models"),
    "LBFGSB.h": (("tune",), "fits of hyper-parameters, climbs of acquisition functions"),
    "doctest": (("tests",), "tests"),
    "rapidcheck.h": (("tests",), "property tests"),
    "ray": (("bench",), "a rival, measured beside ours: bench/peers"),
}

# Third parties that only files whose path begins so may include.
ONLY_BELOW = {"rocksdb": "runtime/store/rocksdb_"}

# Folders of <…> that the compiler and the C library bring.
SYSTEM_FOLDERS = ("sys", "linux", "arpa", "net", "netinet", "asm", "x86_64-linux-gnu", "experimental")
