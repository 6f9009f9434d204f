#pragma once
// TypeTag: what durable objects of a type are called on disk, so that next year's build knows them. No compiler's names; compile time only.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "runtime/array.hpp"
#include "runtime/buffer.hpp"

namespace manta {

namespace detail {
/// Of long and long long the one that int64_t is not.
using OtherInt64 = std::conditional_t<std::is_same_v<std::int64_t, long>, long long, long>;
using OtherUint64 = std::make_unsigned_t<OtherInt64>;
}  // namespace detail

/// The standard name of a type for durable objects: fixed for numbers (bool, characters and bytes too), strings, vectors of these,
/// Arrays of numbers, and Buffer. Integers of one size have one name: what was put as a long long is found as an int64_t.
/// A type of your own gets one by `template <> struct manta::TypeTag<T> { static constexpr std::string_view value = "…"; }`.
template <class T>
struct TypeTag {
  static constexpr std::string_view value{};
};

#define MANTA_TYPE_TAG(type, tag)                      \
  template <>                                          \
  struct TypeTag<type> {                               \
    static constexpr std::string_view value{tag};      \
  };                                                   \
  template <>                                          \
  struct TypeTag<std::vector<type>> {                  \
    static constexpr std::string_view value{tag "[]"}; \
  };
#define MANTA_NUMBER_TAG(type, tag)                          \
  MANTA_TYPE_TAG(type, tag)                                  \
  template <>                                                \
  struct TypeTag<Array<type>> {                              \
    static constexpr std::string_view value{"array of " tag}; \
  };
MANTA_TYPE_TAG(bool, "bool")
MANTA_TYPE_TAG(std::byte, "byte")
MANTA_TYPE_TAG(std::string, "string")
MANTA_NUMBER_TAG(char, "char")
MANTA_NUMBER_TAG(std::int8_t, "i8")
MANTA_NUMBER_TAG(std::uint8_t, "u8")
MANTA_NUMBER_TAG(std::int16_t, "i16")
MANTA_NUMBER_TAG(std::uint16_t, "u16")
MANTA_NUMBER_TAG(std::int32_t, "i32")
MANTA_NUMBER_TAG(std::uint32_t, "u32")
MANTA_NUMBER_TAG(std::int64_t, "i64")
MANTA_NUMBER_TAG(std::uint64_t, "u64")
MANTA_NUMBER_TAG(detail::OtherInt64, "i64")
MANTA_NUMBER_TAG(detail::OtherUint64, "u64")
MANTA_NUMBER_TAG(float, "f32")
MANTA_NUMBER_TAG(double, "f64")
#undef MANTA_NUMBER_TAG
#undef MANTA_TYPE_TAG
template <>
struct TypeTag<Buffer> {
  static constexpr std::string_view value{"bytes"};
};

}  // namespace manta
