#pragma once
// Types of the standard library that cereal does not read and write as Manta needs: what it leaves out, and what damaged bytes would make
// more of than they hold, or of another type. Part of codec.hpp. Not thread-safe: one archive, one thread.
#include <algorithm>
#include <array>
#include <bitset>
#include <cereal/cereal.hpp>
#include <deque>
#include <filesystem>
#include <forward_list>
#include <functional>
#include <list>
#include <map>
#include <queue>
#include <set>
#include <string>
#include <type_traits>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "runtime/archives.hpp"
#include "runtime/base/error.hpp"

namespace manta {

// A bitset not by cereal: that throws what is no ProtocolError for some damaged bytes.
template <std::size_t N>
void CEREAL_SAVE_FUNCTION_NAME(OutputArchive& archive, const std::bitset<N>& bits) {
  for (std::size_t first = 0; first < N; first += 8) {
    std::uint8_t byte = 0;
    for (std::size_t i = first; i < std::min(N, first + 8); ++i) byte |= static_cast<std::uint8_t>(bits[i] << (i - first));
    archive.write(&byte, 1);
  }
}
template <std::size_t N>
void CEREAL_LOAD_FUNCTION_NAME(InputArchive& archive, std::bitset<N>& bits) {
  for (std::size_t first = 0; first < N; first += 8) {
    std::uint8_t byte = 0;
    archive.read(&byte, 1);
    for (std::size_t i = first; i < std::min(N, first + 8); ++i, byte >>= 1) bits[i] = byte & 1;
    if (byte != 0) throw ProtocolError("a serialised value is damaged: a bitset has bits too many");
  }
}
// Sequences not by cereal: that makes all elements that are claimed before it reads the first, however much each takes. Like cereal, it reads
// into those that the constructor made. What a user has for a sequence of his own types comes first, so these win by their constraints only.
namespace detail {
template <class Container>
void load_elements(InputArchive& archive, Container& container) {
  using Element = typename Container::value_type;
  cereal::size_type claimed = 0;
  archive(cereal::make_size_tag(claimed));
  auto size = static_cast<std::size_t>(claimed);
  if (container.size() > size) container.resize(size);
  const auto room = archive.take_room(size, sizeof(Element));  // all at once where it may be: elements stay where their own load saw them
  if constexpr (requires { container.reserve(1); })
    container.reserve(room != 0 ? size : std::min(size, 16 * archive.left() / sizeof(Element) + 1));
  size -= container.size();
  for (auto& each : container) archive(each);
  for (; size > 0; --size) archive(container.emplace_back());
  archive.give_room(room);
}
}  // namespace detail
template <class Archive, class T, class Allocator>
  requires(std::is_same_v<Archive, InputArchive> && !std::is_arithmetic_v<T>)
void CEREAL_LOAD_FUNCTION_NAME(Archive& archive, std::vector<T, Allocator>& vector) {
  detail::load_elements(archive, vector);
}
namespace detail {
/// What lies there byte by byte: no room is made for more than there is.
template <class Container>
void load_plain(InputArchive& archive, Container& container) {
  using Element = typename Container::value_type;
  cereal::size_type claimed = 0;
  archive(cereal::make_size_tag(claimed));
  const auto size = static_cast<std::size_t>(claimed);
  archive.need(size * sizeof(Element));
  container.resize(size);
  archive.read(container.data(), size * sizeof(Element));
}
}  // namespace detail
template <class Archive, class T, class Allocator>
  requires(std::is_same_v<Archive, InputArchive> && std::is_arithmetic_v<T> && !std::is_same_v<T, bool>)
void CEREAL_LOAD_FUNCTION_NAME(Archive& archive, std::vector<T, Allocator>& vector) {
  detail::load_plain(archive, vector);
}
// Bytes not by cereal: an enum is written and read one by one. They lie there just the same.
template <class Archive, class Allocator>
  requires std::is_same_v<Archive, OutputArchive>
void CEREAL_SAVE_FUNCTION_NAME(Archive& archive, const std::vector<std::byte, Allocator>& bytes) {
  archive(cereal::make_size_tag(static_cast<cereal::size_type>(bytes.size())));
  archive.write(bytes.data(), bytes.size());
}
template <class Archive, class Allocator>
  requires std::is_same_v<Archive, InputArchive>
void CEREAL_LOAD_FUNCTION_NAME(Archive& archive, std::vector<std::byte, Allocator>& bytes) {
  detail::load_plain(archive, bytes);
}
template <class Archive, class Character, class Traits, class Allocator>
  requires std::is_same_v<Archive, InputArchive>
void CEREAL_LOAD_FUNCTION_NAME(Archive& archive, std::basic_string<Character, Traits, Allocator>& text) {
  detail::load_plain(archive, text);
}
template <class Archive, class T, class Allocator>
  requires std::is_same_v<Archive, InputArchive>
void CEREAL_LOAD_FUNCTION_NAME(Archive& archive, std::deque<T, Allocator>& deque) {
  detail::load_elements(archive, deque);
}
template <class Archive, class T, class Allocator>
  requires std::is_same_v<Archive, InputArchive>
void CEREAL_LOAD_FUNCTION_NAME(Archive& archive, std::list<T, Allocator>& list) {
  detail::load_elements(archive, list);
}
template <class Archive, class T, class Allocator>
  requires std::is_same_v<Archive, InputArchive>
void CEREAL_LOAD_FUNCTION_NAME(Archive& archive, std::forward_list<T, Allocator>& list) {
  cereal::size_type size = 0;
  archive(cereal::make_size_tag(size));
  auto last = list.before_begin();
  for (; size > 0; --size) {
    const auto next = std::next(last);
    archive(*(last = next == list.end() ? list.emplace_after(last) : next));
  }
  list.erase_after(last, list.end());
}
// An array of none not by cereal: that copies a byte to or from a null pointer.
template <class T>
void CEREAL_SAVE_FUNCTION_NAME(OutputArchive&, const std::array<T, 0>&) {}
template <class T>
void CEREAL_LOAD_FUNCTION_NAME(InputArchive&, std::array<T, 0>&) {}

// A priority queue not by cereal: that makes a heap anew, of which another one of equals may be the top. Only what is in no order here is put in
// one: its elements compare otherwise than where they were, as addresses do.
template <class Archive, class T, class Container, class Compare>
  requires std::is_same_v<Archive, InputArchive>
void CEREAL_LOAD_FUNCTION_NAME(Archive& archive, std::priority_queue<T, Container, Compare>& queue) {
  struct Open : std::priority_queue<T, Container, Compare> {
    static Container& of(std::priority_queue<T, Container, Compare>& all) { return all.*(&Open::c); }
  };
  Compare compare{};
  Container container{};
  archive(compare, container);
  if (!std::is_heap(container.begin(), container.end(), compare)) std::make_heap(container.begin(), container.end(), compare);
  queue = std::priority_queue<T, Container, Compare>(compare, Container{});
  Open::of(queue) = std::move(container);
}

namespace detail {
/// What a container compares or hashes its keys with: null where it is a function pointer or std::function that nobody has set.
template <class Function>
void require_function(const Function& function) {
  if constexpr (requires { function == nullptr; })
    if (function == nullptr)
      throw InvalidArgument("what a set or map compares or hashes its keys with does not travel with it, and that of the one that is read into is a null "
                            "function: give the container a type of its own for it, with operator(), or set the function where the container is made");
}
/// Sets and maps not by cereal: that turns the order of equal keys round, and leaves out keys that the one made by default finds equal.
template <class Container>
void load_by_keys(InputArchive& archive, Container& container) {
  constexpr bool kOrdered = requires { typename Container::key_compare; };
  cereal::size_type size = 0;
  archive(cereal::make_size_tag(size));
  if constexpr (kOrdered)
    require_function(container.key_comp());
  else
    require_function(container.hash_function()), require_function(container.key_eq());
  container.clear();
  auto place = container.end();  // of an ordered one it stays there; else behind the last one, which may be an equal one
  for (cereal::size_type i = 0; i < size; ++i) {
    auto made = container.end();
    if constexpr (requires { typename Container::mapped_type; }) {
      auto key = typename Container::key_type();
      auto value = typename Container::mapped_type();
      archive(cereal::make_map_item(key, value));
      made = container.emplace_hint(place, std::move(key), std::move(value));
    } else {
      auto key = typename Container::key_type();
      archive(key);
      made = container.emplace_hint(place, std::move(key));
    }
    if constexpr (!kOrdered) place = made;
  }
  if (container.size() != size)
    throw ProtocolError("a serialised set or map has equal keys: it is damaged, or what it compares them with has a state, which does not travel: "
                        "send a sequence of the elements, and that state");
}
}  // namespace detail
template <class Archive, class K, class T, class Compare, class Allocator>
  requires std::is_same_v<Archive, InputArchive>
void CEREAL_LOAD_FUNCTION_NAME(Archive& archive, std::map<K, T, Compare, Allocator>& map) {
  detail::load_by_keys(archive, map);
}
template <class Archive, class K, class T, class Compare, class Allocator>
  requires std::is_same_v<Archive, InputArchive>
void CEREAL_LOAD_FUNCTION_NAME(Archive& archive, std::multimap<K, T, Compare, Allocator>& map) {
  detail::load_by_keys(archive, map);
}
template <class Archive, class K, class Compare, class Allocator>
  requires std::is_same_v<Archive, InputArchive>
void CEREAL_LOAD_FUNCTION_NAME(Archive& archive, std::set<K, Compare, Allocator>& set) {
  detail::load_by_keys(archive, set);
}
template <class Archive, class K, class Compare, class Allocator>
  requires std::is_same_v<Archive, InputArchive>
void CEREAL_LOAD_FUNCTION_NAME(Archive& archive, std::multiset<K, Compare, Allocator>& set) {
  detail::load_by_keys(archive, set);
}
template <class Archive, class K, class T, class Hash, class Equal, class Allocator>
  requires std::is_same_v<Archive, InputArchive>
void CEREAL_LOAD_FUNCTION_NAME(Archive& archive, std::unordered_map<K, T, Hash, Equal, Allocator>& map) {
  detail::load_by_keys(archive, map);
}
template <class Archive, class K, class T, class Hash, class Equal, class Allocator>
  requires std::is_same_v<Archive, InputArchive>
void CEREAL_LOAD_FUNCTION_NAME(Archive& archive, std::unordered_multimap<K, T, Hash, Equal, Allocator>& map) {
  detail::load_by_keys(archive, map);
}
template <class Archive, class K, class Hash, class Equal, class Allocator>
  requires std::is_same_v<Archive, InputArchive>
void CEREAL_LOAD_FUNCTION_NAME(Archive& archive, std::unordered_set<K, Hash, Equal, Allocator>& set) {
  detail::load_by_keys(archive, set);
}
template <class Archive, class K, class Hash, class Equal, class Allocator>
  requires std::is_same_v<Archive, InputArchive>
void CEREAL_LOAD_FUNCTION_NAME(Archive& archive, std::unordered_multiset<K, Hash, Equal, Allocator>& set) {
  detail::load_by_keys(archive, set);
}

// Templates, as all kinds of things convert to a path.
template <class T>
  requires std::is_same_v<T, std::filesystem::path>
void CEREAL_SAVE_FUNCTION_NAME(OutputArchive& archive, const T& path) {
  archive(path.native());
}
template <class T>
  requires std::is_same_v<T, std::filesystem::path>
void CEREAL_LOAD_FUNCTION_NAME(InputArchive& archive, T& path) {
  std::string text;
  archive(text);
  path = std::move(text);
}

}  // namespace manta
