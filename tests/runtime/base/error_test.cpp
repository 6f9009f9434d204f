// Chains of causes: what is kept of a long one, and how it reads.
#include "runtime/base/error.hpp"

#include <doctest/doctest.h>

#include <stdexcept>

namespace manta {
namespace {

struct Wordless : std::exception {
  const char* what() const noexcept override { return nullptr; }
};
struct Plain {
  int number;
};
template <class T>
struct Holding : std::runtime_error {
  using std::runtime_error::runtime_error;
};

template <class F>
ErrorInfo info_of(F&& throws) {
  try {
    throws();
  } catch (...) {
    return current_exception_info();
  }
  return {};
}
/// Throws what `inner` throws inside `outer`.
template <class F, class E>
void nest(F&& inner, E&& outer) {
  try {
    inner();
  } catch (...) {
    std::throw_with_nested(std::forward<E>(outer));
  }
}
void nest_deep(int depth) {
  if (depth == 0) throw std::logic_error("root");
  nest([&] { nest_deep(depth - 1); }, std::runtime_error("level " + std::to_string(depth)));
}

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

  // It ended the program.
  TEST_CASE("an exception whose what() is null has a text all the same") {
    const auto info = info_of([] { throw Wordless(); });
    CHECK(info.code == ErrorCode::kTaskError);
    CHECK(info.remote_type.ends_with("Wordless"));
    CHECK_FALSE(info.message.empty());
  }

  TEST_CASE("what was thrown with a nested exception has that as its cause, and the type that it was given") {
    auto info = info_of([] { nest([] { nest([] { throw Plain{3}; }, std::invalid_argument("middle")); }, std::runtime_error("outer")); });
    CHECK(info.remote_type == "std::runtime_error");
    CHECK(info.message == "outer");
    REQUIRE(info.cause);
    CHECK(info.cause->remote_type == "std::invalid_argument");
    CHECK(info.cause->message == "middle");
    REQUIRE(info.cause->cause);
    CHECK(info.cause->cause->remote_type.ends_with("Plain"));
    CHECK(info.cause->cause->cause == nullptr);

    info = info_of([] { nest([] { throw std::logic_error("x"); }, Plain{1}); });
    CHECK(info.remote_type.ends_with("Plain"));
    REQUIRE(info.cause);
    CHECK(info.cause->message == "x");
    info = info_of([] { nest([] { throw std::logic_error("x"); }, Holding<int>("of a template")); });
    CHECK(info.remote_type.ends_with("Holding<int>"));

    info = info_of([] { nest([] { throw std::logic_error("x"); }, Timeout("too late")); });
    CHECK(info.code == ErrorCode::kTimeout);
    CHECK(info.message == "too late");
    REQUIRE(info.cause);
    CHECK(info.cause->remote_type == "std::logic_error");
    CHECK(info_of([] { std::throw_with_nested(std::runtime_error("of nothing")); }).cause == nullptr);
    info = info_of([] { nest([] { throw std::logic_error(std::string(1 << 20, 'x')); }, std::runtime_error("long")); });
    REQUIRE(info.cause);
    CHECK(info.cause->message.size() < 70'000);
  }

  TEST_CASE("of exceptions that are nested without end the newest are told") {
    const auto info = info_of([] { nest_deep(1'000); });
    CHECK(info.message == "level 1000");
    CHECK(length(info) == kMaxErrorLinks);
    CHECK(length(info_of([] { nest_deep(3); })) == 4);
  }
}

}  // namespace manta
