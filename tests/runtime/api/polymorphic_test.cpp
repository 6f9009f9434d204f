// Pointers to a base class, which travel as what they point to.
#include "runtime/polymorphic.hpp"
#include "support.hpp"

namespace manta_test::shapes {

struct Shape {
  virtual ~Shape() = default;
  virtual double area() const = 0;
  std::string label{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(label);
  }
};
struct Square final : Shape {
  double side = 0;
  double area() const override { return side * side; }
  template <class Archive>
  void serialize(Archive& archive) {
    archive(cereal::base_class<Shape>(this), side);
  }
};
/// Nobody registers it.
struct Unknown final : Shape {
  double area() const override { return 1; }
  template <class Archive>
  void serialize(Archive& archive) {
    archive(cereal::base_class<Shape>(this));
  }
};

}  // namespace manta_test::shapes

CEREAL_REGISTER_TYPE(manta_test::shapes::Square)

namespace manta_test {
namespace {

using shapes::Shape;
using shapes::Square;
using Shapes = std::vector<std::shared_ptr<Shape>>;

std::shared_ptr<Shape> make_square(double side) {
  auto made = std::make_shared<Square>();
  made->side = side;
  made->label = "square";
  return made;
}
std::unique_ptr<Shape> make_own_square(double side) {
  auto made = std::make_unique<Square>();
  made->side = side;
  return made;
}
std::shared_ptr<Shape> make_unknown() { return std::make_shared<shapes::Unknown>(); }
double area(const std::shared_ptr<Shape>& shape) { return shape->area(); }
double own_area(const std::unique_ptr<Shape>& shape) { return shape->area(); }
double total(const Shapes& all) {
  double sum = 0;
  for (const auto& each : all) sum += each->area();
  return sum;
}

}  // namespace

TEST_SUITE("runtime/api/polymorphic") {
  TEST_CASE("a pointer to a base class arrives as what it points to, in any process") {
    Machine machine;
    auto& rt = machine.rt;
    const TaskOptions apart{.isolation = own_process};
    const auto square = rt.task<make_square>(apart).remote(2.0);
    CHECK(rt.get(rt.task<area>(apart).remote(square)) == 4);
    CHECK(rt.get(square)->label == "square");
    CHECK(rt.get(rt.task<own_area>(apart).remote(rt.task<make_own_square>(apart).remote(3.0))) == 9);
    CHECK(rt.get(rt.task<total>(apart).remote(Shapes{make_square(1), make_square(2)})) == 5);
    const auto again = decode<Shapes>(encode(Shapes{make_square(5), nullptr}));
    CHECK(again.at(0)->area() == 25);
    CHECK(again.at(1) == nullptr);
  }

  TEST_CASE("a class that was not registered says what to include and to write") {
    Machine machine;
    auto& rt = machine.rt;
    const auto error = error_of<TaskError>([&] { rt.get(rt.task<make_unknown>({.max_retries = 0, .isolation = own_process}).remote()); });
    CHECK(contains(error.message, "runtime/polymorphic.hpp"));
    CHECK(contains(error.message, "CEREAL_REGISTER_TYPE"));
    CHECK_THROWS_AS(encode(make_unknown()), TaskError);
  }
}

}  // namespace manta_test
