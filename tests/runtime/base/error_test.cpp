// Chains of causes: what is kept of a long one, and how it reads.
#include "runtime/base/error.hpp"

#include <doctest/doctest.h>

namespace manta {
namespace {

ErrorInfo link(std::string message, std::shared_ptr<const ErrorInfo> cause = nullptr) {
  return {.code = ErrorCode::kTaskError, .message = std::move(message), .where = "f", .cause = std::move(cause)};
}

/// As a task makes it of its argument's, `links` times.
ErrorInfo chain(std::size_t links) {
  ErrorInfo error = link("root");
  for (std::size_t i = 1; i < links; ++i) error = link("link " + std::to_string(i), as_cause(std::make_shared<const ErrorInfo>(error)));
  return error;
}

std::size_t length(const ErrorInfo& error) {
  std::size_t links = 0;
  for (const ErrorInfo* each = &error; each; each = each->cause.get()) ++links;
  return links;
}

/// With those that were left out.
std::size_t stands_for(const ErrorInfo& error) {
  std::size_t links = 0;
  for (const ErrorInfo* each = &error; each; each = each->cause.get()) links += 1 + each->left_out;
  return links;
}

}  // namespace

TEST_SUITE("runtime/base/error") {
  TEST_CASE("a chain of causes reads from the newest to the root, a line each") {
    CHECK(chain(3).to_string() == "TaskError in f: link 2\n  caused by TaskError in f: link 1\n    caused by TaskError in f: root");
    CHECK(chain(1).to_string() == "TaskError in f: root");
  }

  TEST_CASE("a chain keeps all its links up to the limit, and beyond it the newest, the oldest, and how many stood between") {
    for (const std::size_t links : {1u, 2u, 15u, 16u, 17u, 18u, 100u, 20'000u}) {
      const ErrorInfo error = chain(links);
      CAPTURE(links);
      CHECK(length(error) == std::min(links, kMaxErrorLinks));
      CHECK(stands_for(error) == links);
      const auto text = error.to_string();
      CHECK(text.size() < 2'000);
      CHECK(text.find(": root") != std::string::npos);
      if (links > 1) CHECK(text.find("link " + std::to_string(links - 1) + "\n") != std::string::npos);
      CHECK((text.find("… (" + std::to_string(links - std::min(links, kMaxErrorLinks)) + " more between)") != std::string::npos) == (links > kMaxErrorLinks));
    }
  }

  TEST_CASE("a chain that a program has made longer itself has a short text, and is shortened as a cause") {
    ErrorInfo error = link("root");
    for (int i = 1; i < 1'000; ++i) error = link("link " + std::to_string(i), std::make_shared<const ErrorInfo>(error));
    CHECK(error.to_string().size() < 2'000);
    CHECK(error.to_string().find("… (984 more between)") != std::string::npos);
    const auto cause = as_cause(std::make_shared<const ErrorInfo>(error));
    CHECK(length(*cause) == kMaxErrorLinks - 1);
    CHECK(stands_for(*cause) == 1'000);
    CHECK(as_cause(cause) == cause);
    CHECK(as_cause(nullptr) == nullptr);
  }
}

}  // namespace manta
