#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "runtime/gpu/discovery.hpp"

#include <doctest/doctest.h>

#include <cstdlib>

#include "runtime/base/log.hpp"

using manta::GpuInfo;

namespace {

std::vector<GpuInfo> three_gpus() {
  return {{0, "GPU-aa11", "A", 10}, {1, "GPU-aa22", "B", 20}, {2, "GPU-bb33", "C", 30}};
}

std::vector<unsigned> indices(const std::vector<GpuInfo>& gpus) {
  std::vector<unsigned> numbers;
  for (const auto& gpu : gpus) numbers.push_back(gpu.index);
  return numbers;
}

/// A table of three GPUs of which `broken` does not answer; counts how often it was shut down.
manta::NvmlTable table_of_three(int& shutdowns, int broken = -1) {
  return {.init = [] { return 0; },
          .shutdown = [&shutdowns] { return ++shutdowns, 0; },
          .count = [](unsigned& count) { return count = 3, 0; },
          .describe = [broken](unsigned index, GpuInfo& gpu) {
            gpu = three_gpus()[index];
            return static_cast<int>(index) == broken ? 15 : 0;
          }};
}

using Indices = std::vector<unsigned>;

}  // namespace

TEST_SUITE("runtime/gpu") {
  TEST_CASE("all GPUs are found, and NVML is shut down again") {
    int shutdowns = 0;
    CHECK(manta::discover_gpus(table_of_three(shutdowns), nullptr) == three_gpus());
    CHECK(shutdowns == 1);
  }

  TEST_CASE("a library without a running driver gives no GPUs and is not asked further") {
    int shutdowns = 0;
    auto nvml = table_of_three(shutdowns);
    nvml.init = [] { return 9; };
    CHECK(manta::discover_gpus(nvml, nullptr).empty());
    CHECK(shutdowns == 0);
  }

  TEST_CASE("a GPU that does not answer is left out") {
    manta::set_log_level(manta::LogLevel::kOff);
    int shutdowns = 0;
    CHECK(indices(manta::discover_gpus(table_of_three(shutdowns, 1), nullptr)) == Indices{0, 2});
    manta::set_log_level(manta::LogLevel::kWarning);
  }

  TEST_CASE("CUDA_VISIBLE_DEVICES is read as CUDA reads it") {
    const auto visible = [](const char* list) { return indices(manta::filter_visible(three_gpus(), list)); };
    CHECK(visible("").empty());
    CHECK(visible("  ").empty());
    CHECK(visible("-1").empty());
    CHECK(visible("NoDevFiles").empty());
    CHECK(visible("1") == Indices{1});
    CHECK(visible("2,0") == Indices{2, 0});
    CHECK(visible(" 2 , 1 ") == Indices{2, 1});
    CHECK(visible("GPU-bb33,0") == Indices{2, 0});
    CHECK(visible("GPU-bb") == Indices{2});
    CHECK(visible("GPU-aa").empty());      // fits two
    CHECK(visible("0,7,1") == Indices{0});  // ends at the first that is not there
    CHECK(visible("0,,1") == Indices{0});
    CHECK(visible("1,1") == Indices{1});
    CHECK(visible("0x1").empty());
    CHECK(visible("99999999999999999999").empty());
  }

  TEST_CASE("an empty CUDA_VISIBLE_DEVICES hides every GPU, an unset one none") {
    int shutdowns = 0;
    CHECK(manta::discover_gpus(table_of_three(shutdowns), "").empty());
    CHECK(manta::discover_gpus(table_of_three(shutdowns), nullptr).size() == 3);
  }

  TEST_CASE("of so many GPUs as are said to be there, names that are made up mean none that may not be used") {
    using Names = std::vector<std::string>;
    const auto all = three_gpus();
    const auto usable = [&](const char* visible) { return manta::filter_visible(all, visible); };
    const auto given = [&](std::size_t count, const std::vector<GpuInfo>& found, const char* visible) {
      return manta::names_of_so_many(count, found, visible, found.empty() ? std::optional(all) : std::nullopt);
    };
    CHECK(given(2, all, nullptr) == Names{"GPU-aa11", "GPU-aa22"});
    CHECK(given(5, all, nullptr) == Names{"GPU-aa11", "GPU-aa22", "GPU-bb33", "none-3", "none-4"});
    CHECK(given(3, usable("2,0"), "2,0") == Names{"GPU-bb33", "GPU-aa11", "none-2"});
    // None is usable: of the variable's words those that mean a GPU which it withholds are not taken, nor what follows them.
    CHECK(given(3, {}, "7,0,8") == Names{"7", "none-1", "none-2"});
    CHECK(given(3, {}, "7,GPU-bb,8") == Names{"7", "none-1", "none-2"});
    CHECK(given(3, {}, "7,7") == Names{"7", "none-1", "none-2"});
    CHECK(given(2, {}, "") == Names{"none-0", "none-1"});
    // NVML finds none, or cannot be asked: numbers, or what the variable says.
    CHECK(manta::names_of_so_many(2, {}, nullptr, std::vector<GpuInfo>{}) == Names{"0", "1"});
    CHECK(manta::names_of_so_many(3, {}, "4,MIG-1", std::nullopt) == Names{"4", "MIG-1", "none-2"});
    CHECK(manta::names_of_so_many(0, {}, nullptr, std::nullopt).empty());
    CHECK(manta::names_of({{3, "", "old", 1}, {4, "GPU-x", "new", 1}}) == Names{"3", "GPU-x"});
  }

  TEST_CASE("the driver's library is loaded by name, and the environment's CUDA_VISIBLE_DEVICES is honoured") {
    const char* built = std::getenv("MANTA_TEST_NVML");
    if (!built) {
      MESSAGE("skipped: run by ctest, which names the made-up driver");
      return;
    }
    const auto gpus = manta::discover_gpus();
    if (built[0] == '0') {
      CHECK(gpus.empty());
      return;
    }
    REQUIRE(gpus.size() == 1);
    CHECK(gpus[0] == GpuInfo{1, "GPU-1", "Fake GPU", 8ull << 30});
  }
}
