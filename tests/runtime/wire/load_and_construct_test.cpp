// Objects that a type's own load_and_construct makes: what is pointed to before they are there, what becomes of them when the rest cannot be read,
// and where they lie.
#include <doctest/doctest.h>

#include <cstdlib>

#include "runtime/codec.hpp"

namespace manta {
namespace {

Buffer of_bytes(std::vector<std::uint8_t> bytes) { return Buffer::copy(std::as_bytes(std::span(bytes))); }

/// Holds another one, which it needs to be made, and reads on once it is there.
struct Branch {
  inline static int alive = 0;
  Branch(std::string n, std::shared_ptr<Branch> i) : name(std::move(n)), inner(std::move(i)) { ++alive; }
  ~Branch() { --alive; }
  Branch(const Branch&) = delete;
  Branch& operator=(const Branch&) = delete;
  std::string name;
  std::shared_ptr<Branch> inner;
  std::vector<std::shared_ptr<Branch>> leaves{};
  std::string text{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(name, inner, leaves, text);
  }
  template <class Archive>
  static void load_and_construct(Archive& archive, cereal::construct<Branch>& construct) {
    std::string name;
    std::shared_ptr<Branch> inner;
    archive(name, inner);
    construct(std::move(name), std::move(inner));
    archive(construct->leaves, construct->text);
  }
};
/// Its children know it; they are read before it is made, which cannot be, or after.
template <bool kBefore>
struct Parent {
  struct Child {
    std::weak_ptr<Parent> up{};
    template <class Archive>
    void serialize(Archive& archive) {
      archive(up);
    }
  };
  using Children = std::vector<std::shared_ptr<Child>>;
  explicit Parent(Children c) : children(std::move(c)) {}
  Children children;
  template <class Archive>
  void serialize(Archive& archive) {
    archive(children);
  }
  template <class Archive>
  static void load_and_construct(Archive& archive, cereal::construct<Parent>& construct) {
    Children children;
    if constexpr (kBefore) archive(children);
    construct(std::move(children));
    if constexpr (!kBefore) archive(construct->children);
  }
};
/// Has room of its own.
struct Pooled {
  inline static int rooms = 0;
  static void* operator new(std::size_t size) { return ++rooms, std::malloc(size); }
  static void* operator new(std::size_t, void* at) { return at; }
  static void operator delete(void* room) { --rooms, std::free(room); }
  explicit Pooled(std::string n) : name(std::move(n)) {}
  std::string name;
  std::string text{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(name, text);
  }
  template <class Archive>
  static void load_and_construct(Archive& archive, cereal::construct<Pooled>& construct) {
    std::string name;
    archive(name);
    construct(std::move(name));
    archive(construct->text);
  }
};
/// Has room of its own, and wants it where not all room is. With no other functions for it, or with those for a usual place as well.
template <bool kAlsoUsual>
struct alignas(64) Aligned {
  inline static int rooms = 0;
  static void* operator new(std::size_t size)
    requires kAlsoUsual
  {
    return std::malloc(size);
  }
  static void operator delete(void* room)
    requires kAlsoUsual
  {
    std::free(room);
  }
  static void* operator new(std::size_t size, std::align_val_t alignment) { return ++rooms, std::aligned_alloc(static_cast<std::size_t>(alignment), size); }
  static void* operator new(std::size_t, void* at) { return at; }
  static void operator delete(void* room, std::align_val_t) { --rooms, std::free(room); }
  explicit Aligned(int n) : number(n) {}
  int number;
  std::string text{};
  template <class Archive>
  void serialize(Archive& archive) {
    archive(number, text);
  }
  template <class Archive>
  static void load_and_construct(Archive& archive, cereal::construct<Aligned>& construct) {
    int number = 0;
    archive(number);
    construct(number);
    archive(construct->text);
  }
};
template <class T>
void check_aligned() {
  const auto bytes = encode(std::shared_ptr<T>(new T(7)));
  for (std::size_t cut = 0; cut < bytes.size(); ++cut)
    CHECK_THROWS_AS(decode<std::shared_ptr<T>>(bytes.slice(0, cut)), ProtocolError);
  {
    const auto shared = decode<std::shared_ptr<T>>(bytes);
    CHECK(shared->number == 7);
    CHECK(reinterpret_cast<std::uintptr_t>(shared.get()) % alignof(T) == 0);
    const auto unique = decode<std::unique_ptr<T>>(encode(std::make_unique<T>(8)));
    CHECK(unique->number == 8);
    CHECK(reinterpret_cast<std::uintptr_t>(unique.get()) % alignof(T) == 0);
  }
  CHECK(T::rooms == 0);
}
/// Knows itself.
struct Root : std::enable_shared_from_this<Root> {
  explicit Root(int n) : number(n) {}
  int number;
  bool known = false;
  template <class Archive>
  void save(Archive& archive) const {
    archive(number);
  }
  template <class Archive>
  static void load_and_construct(Archive& archive, cereal::construct<Root>& construct) {
    int number = 0;
    archive(number);
    construct(number);
    construct->known = construct->shared_from_this().get() == construct.ptr();
  }
};
/// Forgets to.
struct Unmade {
  explicit Unmade(int) {}
  template <class Archive>
  void save(Archive&) const {}
  template <class Archive>
  static void load_and_construct(Archive&, cereal::construct<Unmade>&) {}
};

}  // namespace

TEST_SUITE("runtime/codec") {
  TEST_CASE("an object that load_and_construct makes is not pointed to before it is there, and is destroyed if the rest cannot be read") {
    const auto inner = std::make_shared<Branch>("inner", nullptr);
    auto outer = std::make_shared<Branch>("outer", inner);
    outer->leaves = {inner, std::make_shared<Branch>("leaf", nullptr)};
    outer->text = "text";
    const Buffer bytes = encode(outer);
    CHECK(Branch::alive == 3);
    {
      const auto back = decode<std::shared_ptr<Branch>>(bytes);
      CHECK(back->name == "outer");
      CHECK(back->leaves.at(0) == back->inner);
      CHECK(back->leaves.at(1)->name == "leaf");
      CHECK(back->text == "text");
      const auto own = decode<std::unique_ptr<Branch>>(encode(std::make_unique<Branch>("own", nullptr)));
      CHECK(own->name == "own");
      CHECK(decode<std::unique_ptr<Branch>>(encode(std::unique_ptr<Branch>())) == nullptr);
      CHECK(decode<std::shared_ptr<const Branch>>(bytes)->inner->name == "inner");
    }
    CHECK(Branch::alive == 3);
    // Behaviour: what was made and not read to its end was never destroyed, or, shared, given back without its destructor.
    for (std::size_t size = 0; size < bytes.size(); ++size) CHECK_THROWS_AS(decode<std::shared_ptr<Branch>>(bytes.slice(0, size)), ProtocolError);
    const Buffer one = encode(std::make_unique<Branch>("own", inner));
    for (std::size_t size = 0; size < one.size(); ++size) CHECK_THROWS_AS(decode<std::unique_ptr<Branch>>(one.slice(0, size)), ProtocolError);
    CHECK(Branch::alive == 3);
    // Behaviour: its own number, read before it was made, gave a pointer to room in which there was nothing.
    CHECK_THROWS_AS(decode<std::shared_ptr<Branch>>(of_bytes({1, 0, 0, 0x80, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0})), ProtocolError);
    CHECK(decode<std::shared_ptr<Root>>(encode(std::make_shared<Root>(5)))->known);
    CHECK_THROWS_AS(decode<std::shared_ptr<Unmade>>(encode(std::make_shared<Unmade>(5))), InvalidArgument);
  }

  TEST_CASE("what points back to an object that load_and_construct makes is read after that has made it") {
    const auto check = [](auto parent) {
      using Parent = typename decltype(parent)::element_type;
      parent->children.push_back(std::make_shared<typename Parent::Child>());
      parent->children[0]->up = parent;
      return encode(parent);
    };
    const auto after = decode<std::shared_ptr<Parent<false>>>(check(std::make_shared<Parent<false>>(Parent<false>::Children{})));
    CHECK(after->children.at(0)->up.lock() == after);
    try {
      decode<std::shared_ptr<Parent<true>>>(check(std::make_shared<Parent<true>>(Parent<true>::Children{})));
      FAIL("it was read");
    } catch (const ProtocolError& error) {
      CHECK(std::string(error.what()).find("read that after") != std::string::npos);
    }
  }

  TEST_CASE("an object that load_and_construct makes has its room of its class") {
    {
      const auto shared = encode(std::make_shared<Pooled>("x")), own = encode(std::unique_ptr<Pooled>(new Pooled("y")));
      const int before = Pooled::rooms;
      CHECK(decode<std::shared_ptr<Pooled>>(shared)->name == "x");
      CHECK(decode<std::unique_ptr<Pooled>>(own)->name == "y");
      for (std::size_t size = 0; size < shared.size(); ++size) CHECK_THROWS_AS(decode<std::shared_ptr<Pooled>>(shared.slice(0, size)), ProtocolError);
      for (std::size_t size = 0; size < own.size(); ++size) CHECK_THROWS_AS(decode<std::unique_ptr<Pooled>>(own.slice(0, size)), ProtocolError);
      CHECK(Pooled::rooms == before);
      const auto kept = decode<std::unique_ptr<Pooled>>(own);
      CHECK(Pooled::rooms == before + 1);
    }
    CHECK(Pooled::rooms == 0);
    check_aligned<Aligned<false>>();
    check_aligned<Aligned<true>>();
  }
}

}  // namespace manta
