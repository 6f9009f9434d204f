#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include <doctest/doctest.h>

#include <chrono>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <string>
#include <vector>

#include <unistd.h>

#include "bench/harness/floors.hpp"
#include "bench/harness/measure.hpp"
#include "bench/harness/report.hpp"

using namespace std::chrono_literals;
using namespace manta::bench;

TEST_SUITE("bench/harness") {
  TEST_CASE("the median of an even number of values is the mean of the two in the middle") {
    CHECK(median({3, 1, 2}) == 2);
    CHECK(median({4, 1, 2, 3}) == 2.5);
    CHECK(median({7}) == 7);
  }

  TEST_CASE("the spread is the distance of the extremes over the median") {
    CHECK(spread({2, 4, 3}) == doctest::Approx(2.0 / 3));
    CHECK(spread({5}) == 0);
  }

  TEST_CASE("a bench and its floor are run in turn, after a warm-up that finds how much fills a run") {
    std::string order;
    const auto body = [&](char letter, std::chrono::nanoseconds each) {
      return [&order, letter, each](std::size_t n) {
        order += letter;
        return Timed{n, each * n};
      };
    };
    const Row row = measure({"x", "tasks/s", "f", body('b', 2us), body('f', 1us)}, {.runs = 3, .run_time = 1ms});
    CHECK(row.value == doctest::Approx(500'000));
    CHECK(row.floor_value == doctest::Approx(1'000'000));
    CHECK(row.ratio == doctest::Approx(0.5));
    CHECK(row.spread == doctest::Approx(0));
    CHECK(order.substr(order.size() - 6) == "fbfbfb");
  }

  TEST_CASE("bench.csv has the seven columns and replaces an older one") {
    const auto folder = std::filesystem::temp_directory_path() / ("manta-bench-" + std::to_string(getpid()));
    write_csv(folder, {});
    const auto file = write_csv(folder, {{"task_serial", 123.44, "tasks/s", "futex", 1000, 0.12344, 0.05}});
    std::stringstream text;
    text << std::ifstream(file).rdbuf();
    CHECK(text.str() == "name,value,unit,floor,floor_value,ratio,spread\ntask_serial,123.4,tasks/s,futex,1000.0,0.1234,0.0500\n");
    CHECK(std::distance(std::filesystem::directory_iterator(folder), {}) == 1);
    std::filesystem::remove_all(folder);
  }

  TEST_CASE("a folder that cannot be written to is named") {
    CHECK_THROWS_WITH_AS(write_csv("/proc/manta", {}), doctest::Contains("/proc/manta"), std::filesystem::filesystem_error);
  }

  TEST_CASE("every floor does as many operations as asked, and ends") {
    const Machine machine = describe_machine(two_cores());
    CHECK(machine.core_count >= 1);
    SocketPingPong socket(machine);
    FutexPingPong futex(machine);
    QueuePool pool(machine);
    CHECK(socket(50).operations == 50);
    CHECK(futex(50).operations == 50);
    CHECK(pool(1500).operations == 2000);
    CHECK(futex(1).time > 0ns);
  }
}
