#include "runtime/store/records.hpp"

#include <capnp/message.h>
#include <capnp/serialize.h>
#include <kj/exception.h>

#include <cstring>

#include "runtime/store/records.capnp.h"

namespace manta {

namespace {

constexpr std::size_t kMaxHeaderBytes = 1 << 20;

std::string flatten(capnp::MessageBuilder& message) {
  const auto words = capnp::messageToFlatArray(message);
  const auto bytes = words.asBytes();
  return {reinterpret_cast<const char*>(bytes.begin()), bytes.size()};
}

ErrorInfo damaged(const std::string& detail) {
  return {.code = ErrorCode::kStorageCorruption, .message = "a record's header cannot be read: " + detail};
}

/// Decodes through `read(root)`; the bytes are copied once because Cap'n Proto wants them aligned.
template <class Record, class Read>
auto decode(ByteView bytes, const Read& read) -> Result<decltype(read(std::declval<typename Record::Reader>()))> {
  if (bytes.empty() || bytes.size() > kMaxHeaderBytes || bytes.size() % sizeof(capnp::word) != 0)
    return damaged("its size is wrong");
  auto words = kj::heapArray<capnp::word>(bytes.size() / sizeof(capnp::word));
  std::memcpy(words.begin(), bytes.data(), bytes.size());
  try {
    capnp::FlatArrayMessageReader reader(words);
    return read(reader.getRoot<Record>());
  } catch (const kj::Exception& error) {
    return damaged(error.getDescription().cStr());
  }
}

}  // namespace

std::string encode(const SpillHeader& header) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<records::SpillHeader>();
  root.setId(header.id);
  root.setBytes(header.bytes);
  root.setChecksum(header.checksum);
  return flatten(message);
}

std::string encode(const DurableHeader& header) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<records::DurableHeader>();
  root.setTypeTag(capnp::Text::Reader(header.type_tag.c_str(), header.type_tag.size()));
  root.setBytes(header.bytes);
  root.setChecksum(header.checksum);
  root.setGeneration(header.generation);
  root.setChunkBytes(header.chunk_bytes);
  return flatten(message);
}

std::string encode(const JournalHeader& header) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<records::JournalHeader>();
  root.setVersion(header.version);
  root.setSealed(header.sealed);
  root.setSnapshotRecords(header.snapshot_records);
  return flatten(message);
}

Result<SpillHeader> decode_spill_header(ByteView bytes) {
  return decode<records::SpillHeader>(bytes, [](records::SpillHeader::Reader root) {
    return SpillHeader{.id = root.getId(), .bytes = root.getBytes(), .checksum = root.getChecksum()};
  });
}

Result<DurableHeader> decode_durable_header(ByteView bytes) {
  auto header = decode<records::DurableHeader>(bytes, [](records::DurableHeader::Reader root) {
    const auto tag = root.getTypeTag();
    return DurableHeader{.type_tag = {tag.cStr(), tag.size()},
                         .bytes = root.getBytes(),
                         .checksum = root.getChecksum(),
                         .generation = root.getGeneration(),
                         .chunk_bytes = root.getChunkBytes()};
  });
  if (header && header->generation >= kEndOfNumbers) return damaged("its generation is one that is never given");
  return header;
}

Result<JournalHeader> decode_journal_header(ByteView bytes) {
  auto header = decode<records::JournalHeader>(bytes, [](records::JournalHeader::Reader root) {
    return JournalHeader{.version = root.getVersion(),
                         .sealed = root.getSealed(),
                         .snapshot_records = root.getSnapshotRecords()};
  });
  if (header && header->sealed >= kEndOfNumbers) return damaged("its snapshot's number is one that is never given");
  return header;
}

}  // namespace manta
