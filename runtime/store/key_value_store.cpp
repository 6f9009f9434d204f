#include "runtime/store/key_value_store.hpp"

namespace manta {

Result<void> KeyValueStore::put(std::string key, ByteView value, Sync sync) {
  return write(WriteBatch{}.put(std::move(key), value), sync);
}

Result<void> KeyValueStore::erase(std::string key, Sync sync) { return write(WriteBatch{}.erase(std::move(key)), sync); }

Result<std::optional<std::vector<std::byte>>> KeyValueStore::get(std::string_view key) const {
  std::optional<std::vector<std::byte>> copy;
  auto found = read(key, [&copy](ByteView value) { copy.emplace(value.begin(), value.end()); });
  if (!found) return found.error();
  return copy;
}

std::string ordered_key(std::string_view prefix, std::initializer_list<std::uint64_t> numbers) {
  std::string key(prefix);
  for (const auto number : numbers)
    for (int shift = 56; shift >= 0; shift -= 8) key.push_back(static_cast<char>(number >> shift));
  return key;
}

std::optional<std::uint64_t> number_of_key(std::string_view key, std::size_t prefix_bytes, std::size_t index) {
  const auto start = prefix_bytes + index * 8;
  if (key.size() < start + 8) return std::nullopt;
  std::uint64_t number = 0;
  for (std::size_t i = 0; i < 8; ++i) number = number << 8 | static_cast<unsigned char>(key[start + i]);
  return number;
}

}  // namespace manta
