#pragma once
// How values become bytes: cereal over two archives of Manta's own. Bit-exact for every float; native byte order (all
// processes of a run execute the same program). A Buffer inside a value is laid out aligned and read back in place.
//
// A type can travel when it can be default-constructed and has a cereal `serialize`/`save`+`load` (a struct without members needs none,
// if it has no constructor of its own and is no lambda), which of the standard library have:
// numbers, strings, the containers, queue, priority_queue, stack, pair, tuple, optional, variant, bitset, complex, the times of chrono,
// smart pointers (those to a base class by runtime/polymorphic.hpp) and filesystem::path. Not what refers to what it does not hold (string_view, span), and no valarray: take a vector.
// An ObjectRef or ActorHandle inside a value stays what it is: the archive lists it beside the bytes,
// which hold its place in that list. What a `save` or `serialize` throws comes out of put, remote and call as a TaskError that names
// the type (an Error of Manta's as it is), and fails a task whose result it is. Input archives check every length against what is left: damaged bytes throw ProtocolError.
// What compares or hashes the keys of a set or map does not travel: it is that of the container that is read into. Where that is a null function
// InvalidArgument is thrown, and where it finds keys equal which were not, as it has another state, ProtocolError.
// What load_and_construct reads before it calls `construct` cannot point back to the object that is being made: ProtocolError.
// All containers of one value together may have 2^20 elements more than the value has bits (that is, elements without any content).
// What is nested deeper than the thread's stack allows (some ten thousand levels of 8 MiB) throws InvalidArgument as it is written.
// Not thread-safe: one archive, one thread.
#include <algorithm>
#include <array>
#include <cereal/cereal.hpp>
#include <cereal/types/array.hpp>
#include <cereal/types/chrono.hpp>
#include <cereal/types/complex.hpp>
#include <cereal/types/deque.hpp>
#include <cereal/types/forward_list.hpp>
#include <cereal/types/list.hpp>
#include <cereal/types/map.hpp>
#include <cereal/types/memory.hpp>
#include <cereal/types/optional.hpp>
#include <cereal/types/queue.hpp>
#include <cereal/types/set.hpp>
#include <cereal/types/stack.hpp>
#include <cereal/types/string.hpp>
#include <cereal/types/tuple.hpp>
#include <cereal/types/unordered_map.hpp>
#include <cereal/types/unordered_set.hpp>
#include <cereal/types/utility.hpp>
#include <cereal/types/variant.hpp>
#include <cereal/types/vector.hpp>
#include <limits>
#include <type_traits>
#include <typeinfo>

#include "runtime/archives.hpp"
#include "runtime/base/error.hpp"
#include "runtime/pointers.hpp"
#include "runtime/standard_types.hpp"

namespace manta {

namespace detail {
/// In a handler of what a user's save or serialize threw, as it turned a value of the type into bytes: makes a TaskError of it that
/// says so. An Error of the family goes on as it is.
[[noreturn]] void rethrow_from_save(const std::type_info& type);
/// ProtocolError when one of the bytes is neither true nor false.
void require_bools(const void* bytes, std::size_t count);
}  // namespace detail

template <class T>
  requires std::is_arithmetic_v<T>
void CEREAL_SAVE_FUNCTION_NAME(OutputArchive& archive, const T& value) {
  archive.write(&value, sizeof value);
}
template <class T>
  requires std::is_arithmetic_v<T>
void CEREAL_LOAD_FUNCTION_NAME(InputArchive& archive, T& value) {
  if constexpr (std::is_same_v<T, bool>) {
    std::uint8_t byte = 0;
    archive.read(&byte, 1);
    if (byte > 1) detail::require_bools(&byte, 1);
    value = byte != 0;
  } else {
    archive.read(&value, sizeof value);
  }
}
namespace detail {
template <class T>
inline constexpr bool kMayNest = std::is_class_v<T>;  ///< objects of its own type somewhere inside, for all that is known
template <>
inline constexpr bool kMayNest<std::string> = false;
template <class T>
inline constexpr bool kMayNest<cereal::SizeTag<T>> = false;
template <class T>
inline constexpr bool kMayNest<cereal::BinaryData<T>> = false;
}  // namespace detail
/// cereal calls it before each object.
template <class Archive, class T>
  requires(detail::kMayNest<T> && (std::is_same_v<Archive, OutputArchive> || std::is_same_v<Archive, InputArchive>))
void prologue(Archive& archive, const T&) {
  archive.enter();
}
template <class Archive, class T>
  requires std::is_same_v<Archive, OutputArchive> || std::is_same_v<Archive, InputArchive>
void CEREAL_SERIALIZE_FUNCTION_NAME(Archive& archive, cereal::NameValuePair<T>& pair) {
  archive(pair.value);
}
template <class Archive, class T>
  requires std::is_same_v<Archive, OutputArchive>
void CEREAL_SERIALIZE_FUNCTION_NAME(Archive& archive, cereal::SizeTag<T>& tag) {
  archive(tag.size);
}
template <class T>
void CEREAL_SERIALIZE_FUNCTION_NAME(InputArchive& archive, cereal::SizeTag<T>& tag) {
  archive(tag.size);
  archive.claim(static_cast<std::size_t>(tag.size));
}
template <class T>
void CEREAL_SAVE_FUNCTION_NAME(OutputArchive& archive, const cereal::BinaryData<T>& data) {
  archive.write(data.data, static_cast<std::size_t>(data.size));
}
template <class T>
void CEREAL_LOAD_FUNCTION_NAME(InputArchive& archive, cereal::BinaryData<T>& data) {
  archive.read(data.data, static_cast<std::size_t>(data.size));
  if constexpr (std::is_same_v<std::remove_cv_t<std::remove_all_extents_t<std::remove_pointer_t<std::remove_cvref_t<T>>>>, bool>)
    detail::require_bools(data.data, static_cast<std::size_t>(data.size));
}

inline void CEREAL_SAVE_FUNCTION_NAME(OutputArchive& archive, const Buffer& buffer) {
  archive(static_cast<std::uint64_t>(buffer.size()));
  archive.align(64);
  archive.write(buffer.data(), buffer.size());
}
inline void CEREAL_LOAD_FUNCTION_NAME(InputArchive& archive, Buffer& buffer) {
  std::uint64_t size = 0;
  archive(size);
  archive.align(64);
  buffer = archive.read_in_place(size);
  if (reinterpret_cast<std::uintptr_t>(buffer.data()) % 64 != 0) buffer = Buffer::copy(buffer.bytes());  // small ones lie anywhere in a message
}

namespace detail {
/// Has nothing that could travel: a struct without members is its type. A lambda, which is no aggregate, is code.
template <class T>
inline constexpr bool kIsNothingButItsType = std::is_empty_v<T> && std::is_aggregate_v<T>;
}  // namespace detail

/// True when values of T can cross a process border.
template <class T>
concept Serialisable = std::is_default_constructible_v<T> && (detail::kIsNothingButItsType<T> ||
                                                              (cereal::traits::is_output_serializable<T, OutputArchive>::value &&
                                                               cereal::traits::is_input_serializable<T, InputArchive>::value));

/// Writes the value; what its own code throws comes out as an Error.
template <class T>
void write_value(OutputArchive& archive, const T& value) {
  try {
    archive(value);
  } catch (...) {
    detail::rethrow_from_save(typeid(T));
  }
}

/// Serialises into fresh memory.
template <class T>
Buffer encode(const T& value) {
  OutputArchive count;
  write_value(count, value);
  auto [buffer, target] = Buffer::allocate(count.size());
  OutputArchive archive(target);
  write_value(archive, value);
  archive.finish();
  return buffer;
}

/// The value that `encode` wrote; throws ProtocolError when the bytes are not one T.
template <class T>
T decode(const Buffer& bytes, detail::SharedReferences references = nullptr) {
  T value{};
  InputArchive archive(bytes, std::move(references));
  try {
    archive(value);
  } catch (const cereal::Exception& e) {
    throw ProtocolError(std::string("a serialised value is damaged or of another type: ") + e.what());
  }
  if (archive.left() != 0)
    throw ProtocolError("a serialised value has " + std::to_string(archive.left()) +
                        " bytes too many: it was written by another program or is damaged");
  return value;
}

}  // namespace manta
