#include "runtime/actors/node_durables.hpp"

#include <algorithm>
#include <chrono>
#include <cstdlib>

#include "runtime/store/directory_claim.hpp"

namespace manta::detail {

namespace {

constexpr std::size_t kThreads = 2;             // requests of workers that wait for the disk at the same time
constexpr std::size_t kNamesBytes = 256 * 1024;  // of names in one answer; more come in further ones
constexpr std::chrono::seconds kReleaseTimeout{10};  // for others to end what they do with a store that has failed
constexpr int kReadAttempts = 10;               // a value may be replaced by one of another size between two looks

std::filesystem::path default_directory() {
  if (const char* data = std::getenv("XDG_DATA_HOME"); data && *data) return std::filesystem::path(data) / "manta/durable";
  if (const char* home = std::getenv("HOME"); home && *home) return std::filesystem::path(home) / ".local/share/manta/durable";
  throw InvalidArgument("no place for durable objects: HOME is not set; start with --durable-dir=DIR");
}

/// Reads a value whose size is known; nullopt when it has been replaced by one of another size meanwhile.
std::optional<DurableInfo> read_into(DurableStore& store, const std::string& name, std::span<std::byte> target) {
  bool replaced = false;
  auto read = store.read(name, [&](const DurableInfo& info) -> Result<std::span<std::byte>> {
    if (info.bytes == target.size()) return target;
    replaced = true;
    return ErrorInfo{.code = ErrorCode::kInvalidArgument, .message = "the value has been replaced"};
  });
  if (replaced) return std::nullopt;
  return std::move(read).value();
}

[[noreturn]] void fail_replaced(const std::string& name) {
  throw ResourceExhausted("the durable object " + name + " is being replaced all the time: read it when its writers rest");
}

}  // namespace

NodeDurables::NodeDurables(std::filesystem::path directory, std::shared_ptr<NodeStore> store, std::uint64_t inline_bytes,
                           Reply reply)
    : directory_(std::move(directory)), objects_(std::move(store)), inline_bytes_(inline_bytes), reply_(std::move(reply)),
      lane_(std::make_unique<Lane>(kThreads)) {}

NodeDurables::~NodeDurables() { close(); }

void NodeDurables::close() {
  std::unique_lock lock(mutex_);
  closed_ = true;
  auto lane = std::move(lane_);
  lock.unlock();
  lane.reset();
  std::lock_guard opening(open_mutex_);  // whoever opens it now lets go of it at once
  lock.lock();
  const auto store = std::move(store_);
  lock.unlock();
}

/// Null when it has to be opened.
std::shared_ptr<DurableStore> NodeDurables::opened() {
  std::lock_guard lock(mutex_);
  if (!store_ && closed_) throw RuntimeStopped("the runtime has been shut down: start another one");
  return store_;
}

std::shared_ptr<DurableStore> NodeDurables::store() {
  if (auto store = opened()) return store;
  std::lock_guard opening(open_mutex_);
  if (auto store = opened()) return store;
  const auto directory = (directory_.empty() ? default_directory() : directory_).string();
  if (let_go_) await_release(directory, kReleaseTimeout);
  std::shared_ptr<DurableStore> store = DurableStore::open(directory).value();
  std::lock_guard lock(mutex_);
  if (closed_) throw RuntimeStopped("the runtime has been shut down: start another one");
  let_go_ = false;
  return store_ = std::move(store);
}

/// Makes a change. After an error of the disk the store is let go of, so that the next use reads what is really there.
template <class Change>
auto NodeDurables::change(Change&& make) {
  auto durable = store();
  auto result = make(*durable);
  if (!result && result.error().code == ErrorCode::kIoError) {
    std::lock_guard lock(mutex_);
    if (store_ == durable) store_.reset(), let_go_ = true;
  }
  return result;
}

/// For this once: the ref's cell, which may live long, keeps no copy of a large value. Null for a small one, and for one that does not stay
/// where it is.
Buffer NodeDurables::encode_once(const Cell& cell, const std::string& name) {
  constexpr std::size_t kLarge = 1 << 20;
  const auto* value = cell.kept_value();
  if (!value || cell.stored() || cell.sent()) return {};
  OutputArchive count;
  cell.ops().encode(value, count);
  if (count.size() < kLarge) return {};
  auto [buffer, target] = Buffer::allocate(count.size());
  References found;
  OutputArchive archive(target, &found);
  cell.ops().encode(value, archive);
  archive.finish();
  if (!found.empty()) refuse_references({.references = std::make_shared<const References>(std::move(found))}, name);
  return std::move(buffer);
}

void NodeDurables::put(Cell& cell, const std::string& name, const std::string& tag) {
  need_tag(cell, name, tag);
  if (const auto bytes = encode_once(cell, name); bytes.size() > 0)
    return static_cast<void>(change([&](DurableStore& durable) { return durable.put(name, tag, bytes.bytes()); }).value());
  const auto no_room = [](std::uint64_t, const StoreAccess::Fill&) -> Result<std::shared_ptr<StoredObject>> {
    return ErrorInfo{.code = ErrorCode::kInvalidArgument, .message = "not asked for: the value travels as bytes"};
  };
  auto encoded = cell.encoded(~std::uint64_t{0}, no_room).value();
  refuse_references(encoded, name);
  const auto bytes = encoded.stored ? encoded.stored->open({}).value() : encoded.bytes;
  change([&](DurableStore& durable) { return durable.put(name, tag, bytes.bytes()); }).value();
}

DurableInfo NodeDurables::info(const std::string& name, const std::string& tag) {
  auto found = store()->info(name).value();
  if (found.type_tag != tag)
    throw InvalidArgument("the durable object " + name + " was put with the type tag \"" + found.type_tag + "\", not \"" + tag + "\"");
  return found;
}

std::shared_ptr<Cell> NodeDurables::find(const TypeOps& ops, const std::string& name, const std::string& tag) {
  need_tag(name, tag);
  for (int attempt = 0; attempt < kReadAttempts; ++attempt) {
    auto [buffer, target] = Buffer::allocate(info(name, tag).bytes);
    const auto read = read_into(*store(), name, target);
    if (!read || read->type_tag != tag) continue;
    auto cell = std::make_shared<Cell>(ops);
    cell->set_bytes(std::move(buffer));
    return cell;
  }
  fail_replaced(name);
}

bool NodeDurables::remove(const std::string& name) {
  auto removed = change([&](DurableStore& durable) { return durable.remove(name); });
  if (!removed && removed.error().code != ErrorCode::kNotFound) removed.value();
  return removed.ok();
}

std::vector<std::string> NodeDurables::list(const std::string& prefix) {
  std::vector<std::string> names;
  const auto infos = store()->list(prefix).value();
  for (const auto& info : infos) names.push_back(info.name);
  return names;
}

// --- for worker processes ----------------------------------------------------------------------------------------------

void NodeDurables::serve(ProcessId from, wire::DurableRequest request) {
  std::lock_guard lock(mutex_);
  if (!lane_) return;  // the runtime ends, and the worker with it
  lane_->post([this, from, request = std::move(request)] { reply_(from, answer(from, request)); });
}

wire::DurableReply NodeDurables::answer(ProcessId from, const wire::DurableRequest& request) {
  wire::DurableReply reply{.request = request.request};
  try {
    switch (request.operation) {
      case wire::DurableOperation::kPut: put_for(request); break;
      case wire::DurableOperation::kFind: reply.value = find_for(from, request.name, request.type_tag); break;
      case wire::DurableOperation::kRemove: change([&](DurableStore& durable) { return durable.remove(request.name); }).value(); break;
      case wire::DurableOperation::kList: list_for(request, reply); break;
      default: throw ProtocolError("an operation on durable objects that this build does not know");
    }
  } catch (...) {
    reply.error = current_exception_info();
  }
  return reply;
}

void NodeDurables::put_for(const wire::DurableRequest& request) {
  const auto bytes = request.value.stored ? objects_->open(request.value.stored).value() : request.value.bytes;
  change([&](DurableStore& durable) { return durable.put(request.name, request.type_tag, bytes.bytes()); }).value();
}

/// Straight from the disk to where the worker reads it: the arena, unless it is small.
wire::Value NodeDurables::find_for(ProcessId to, const std::string& name, const std::string& tag) {
  for (int attempt = 0; attempt < kReadAttempts; ++attempt) {
    const auto size = info(name, tag).bytes;
    std::optional<DurableInfo> read;
    if (size <= inline_bytes_) {
      auto [buffer, target] = Buffer::allocate(size);
      read = read_into(*store(), name, target);
      if (read && read->type_tag == tag) return {.bytes = std::move(buffer)};
      continue;
    }
    const auto fill = [&](std::span<std::byte> target) { read = read_into(*store(), name, target); };
    const auto placed = objects_->place(size, fill, to).value();
    if (read && read->type_tag == tag) return {.stored = {placed->id()}, .stored_size = size};
    objects_->free({placed->id()});
  }
  fail_replaced(name);
}

void NodeDurables::list_for(const wire::DurableRequest& request, wire::DurableReply& reply) {
  std::size_t bytes = 0;
  store()->visit(request.name, request.after, [&](DurableInfo info) {
           reply.more = bytes > kNamesBytes;
           if (reply.more) return false;
           bytes += info.name.size() + 8;
           reply.names.push_back(std::move(info.name));
           return true;
         }).value();
}

}  // namespace manta::detail
