@0xb9a4a1f6c0d3e817;
# What Manta's stores write beside the raw bytes. Fields are only ever added.

using Cxx = import "/capnp/c++.capnp";
$Cxx.namespace("manta::records");

struct SpillHeader {
  # One object that left the arena; its bytes follow as chunks.
  id @0 :UInt64;
  bytes @1 :UInt64;
  checksum @2 :UInt64;  # XXH3-64 of the whole object
}

struct DurableHeader {
  # One durable object; its bytes lie in chunks under its generation.
  typeTag @0 :Text;  # as the user gave it
  bytes @1 :UInt64;
  checksum @2 :UInt64;  # XXH3-64 of the whole value
  generation @3 :UInt64;
  chunkBytes @4 :UInt64;
}

struct JournalHeader {
  version @0 :UInt32;
  sealed @1 :UInt64;  # every record up to this number has given way to the snapshot
  snapshotRecords @2 :UInt64;
}
