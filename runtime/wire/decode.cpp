// Bytes of another process into messages: nothing in them is trusted. What is added here encode.cpp writes.
#include <capnp/message.h>
#include <capnp/serialize.h>

#include <algorithm>
#include <new>

#include "runtime/wire/resources_codec.hpp"
#include "runtime/wire/small_values.hpp"

namespace manta::wire {

namespace {

constexpr std::int64_t kMaxUnits = std::int64_t{1} << 53;  // of a reference: one each time that a process is given it while it has it still

/// Reads with inline bytes as a slice of the frame.
class Reader {
 public:
  explicit Reader(const Buffer& frame) : checked(frame), frame_(frame) {}
  const ListCheck checked;

  Value value(schema::Value::Reader in) const {
    Value out = bytes_or_place(in);
    if (!in.hasRefs()) return out;
    out.references = std::make_shared<ValueReferences>();
    const auto refs = checked(in.getRefs());
    out.references->list.reserve(refs.size());
    for (auto each : refs) {
      if (each.getKind() > kLastReferenceKind) throw ProtocolError("a reference of a kind that this build does not know");
      out.references->list.push_back({.id = each.getId(), .kind = each.getKind(), .name = text(each.getName()),
                                      .max_pending_calls = each.getMaxPendingCalls(), .serial = each.getSerial()});
      if (!each.hasGroups()) continue;
      for (auto group : checked(each.getGroups())) out.references->list.back().groups.push_back(text(group));
    }
    return out;
  }
  Value bytes_or_place(schema::Value::Reader in) const {
    if (in.isStored()) return {.stored = {in.getStored().getId()}, .stored_size = in.getStored().getSize()};
    if (!in.isInline()) throw ProtocolError("a value of a kind that this build does not know");
    const auto data = in.getInline();
    const auto* start = reinterpret_cast<const std::byte*>(data.begin());
    const bool slice = frame_.size() <= SmallValues::kBlock || data.size() >= frame_.size() / 4;  // which keeps the whole frame
    return {.bytes = slice ? Buffer(frame_.owner(), {start, data.size()}) : small_.copy({start, data.size()})};
  }
  ErrorInfo error(schema::Error::Reader in, int depth = 0) const {
    ErrorInfo info{.code = static_cast<ErrorCode>(in.getCode()), .message = text(in.getMessage()),
                   .where = text(in.getWhere()), .remote_type = text(in.getRemoteType()), .left_out = in.getLeftOut(), .did_not_run = in.getDidNotRun()};
    if (in.hasCause() && depth < kMaxCauses) info.cause = std::make_shared<const ErrorInfo>(error(in.getCause(), depth + 1));
    return info;
  }
  Task task(schema::Task::Reader in) const {
    Task task{.id = {in.getId()}, .module = in.getModule(), .offset = in.getOffset(), .name = text(in.getName()),
              .attempt = in.getAttempt(), .arguments = value(in.getArguments()), .group = text(in.getGroup()), .losses = in.getLosses()};
    for (auto ref : checked(in.getRefs())) task.refs.push_back(value(ref));
    task.retry_module = in.getRetryModule(), task.retry_offset = in.getRetryOffset();
    return task;
  }
  std::vector<Task> tasks(capnp::List<schema::Task>::Reader in) const {
    std::vector<Task> list;
    list.reserve(checked(in).size());
    for (auto each : in) list.push_back(task(each));
    return list;
  }
  Outcome outcome(schema::Outcome::Reader in) const {
    Outcome out{.id = {in.getId()}, .nanoseconds = in.getNanoseconds(), .retry = in.getRetry(), .lost = {in.getLost()}, .losses = in.getLosses()};
    for (auto each : checked(in.getMore())) out.more.push_back(value(each));
    switch (in.which()) {
      case schema::Outcome::VALUE: out.result = value(in.getValue()); break;
      case schema::Outcome::ERROR: out.result = error(in.getError()); break;
      case schema::Outcome::UNSTARTED: out.result = Unstarted{}; break;
      default: throw ProtocolError("an outcome of a kind that this build does not know");
    }
    return out;
  }
  std::vector<Outcome> outcomes(capnp::List<schema::Outcome>::Reader in) const {
    std::vector<Outcome> list;
    list.reserve(checked(in).size());
    for (auto each : in) list.push_back(outcome(each));
    return list;
  }

 private:
  const Buffer& frame_;
  mutable SmallValues small_{};
};

WantLeases want_leases(const ListCheck& checked, schema::WantLeases::Reader in) {
  WantLeases m{.purpose = in.getPurpose(), .count = in.getCount(), .own_process = in.getOwnProcess(), .retriable = in.getRetriable()};
  m.shape = {.cpus = Amount::from_raw(in.getCpus()), .gpus = Amount::from_raw(in.getGpus()), .custom = resources(checked, in.getCustom()),
             .group = {in.getGroup()}, .bundle = in.getBundle()};
  m.options = {.name = text(in.getName()), .log_file = text(in.getLogFile()), .echo = in.getEcho()};
  for (auto each : checked(in.getEnvironment())) m.options.environment[text(each.getName())] = text(each.getValue());
  return m;
}

StoreReply store_reply(const Reader& reader, schema::StoreReply::Reader in) {
  StoreReply m{.request = in.getRequest(), .id = {in.getId()}, .extent = in.getExtent(), .offset = in.getOffset(),
               .size = in.getSize(), .extent_bytes = in.getExtentBytes()};
  if (in.hasError()) m.error = reader.error(in.getError());
  for (auto each : in.getRetired()) m.retired.push_back(each);
  return m;
}

DurableReply durable_reply(const Reader& reader, schema::DurableReply::Reader in) {
  DurableReply m{.request = in.getRequest(), .value = reader.value(in.getValue()), .more = in.getMore()};
  for (auto name : reader.checked(in.getNames())) m.names.push_back(text(name));
  if (in.hasError()) m.error = reader.error(in.getError());
  return m;
}

ReferenceUpdates reference_updates(const ListCheck& checked, capnp::List<schema::ReferenceUpdate>::Reader in) {
  ReferenceUpdates m;
  m.list.reserve(checked(in).size());
  for (auto each : in) {
    const auto operation = known(each.getOperation(), core::ReferenceOperation::kRebuild);
    if (operation != core::ReferenceOperation::kRebuild && std::clamp(each.getUnits(), -kMaxUnits, kMaxUnits) != each.getUnits())
      throw ProtocolError("word about a reference of which nobody has so many units");
    m.list.push_back({operation, each.getId(), each.getProcess(), each.getUnits()});
  }
  return m;
}

DurableRequest durable_request(const Reader& reader, schema::DurableRequest::Reader in) {
  return {in.getRequest(), known(in.getOperation(), DurableOperation::kList), text(in.getName()), text(in.getTypeTag()),
          reader.value(in.getValue()), text(in.getAfter())};
}

Orphans orphans(schema::Orphans::Reader in) {
  Orphans m;
  for (auto id : in.getObjects()) m.objects.push_back({id});
  return m;
}

ActorPlace actor_place(const Reader& reader, schema::ActorPlace::Reader in) {
  if (in.getState() > static_cast<std::uint8_t>(core::ActorState::kDead)) throw ProtocolError("an actor in a state that this build does not know");
  ActorPlace m{.actor = {in.getActor()}, .state = static_cast<core::ActorState>(in.getState()), .lease = {in.getLease()},
               .worker = in.getWorker(), .max_task_retries = in.getMaxTaskRetries(), .unordered = in.getUnordered(),
               .creation_failed = in.getCreationFailed()};
  if (in.hasError()) m.error = reader.error(in.getError());
  return m;
}

ActorRequest actor_request(schema::ActorRequest::Reader in) {
  return {{in.getActor()}, known(in.getOperation(), ActorOperation::kLend), in.getRequest()};
}

ActorWaiting actor_waiting(schema::ActorWaiting::Reader in) { return {{in.getWaiter()}, {in.getTarget()}, text(in.getWhat()), in.getRound()}; }

NameRequest name_request(schema::NameRequest::Reader in) {
  return {in.getRequest(), known(in.getOperation(), NameOperation::kRelease), text(in.getName()), {in.getActor()},
          {in.getType().getModule(), in.getType().getOffset(), text(in.getTypeName())}};
}

NameReply name_reply(const Reader& reader, schema::NameReply::Reader in) {
  NameReply m{.request = in.getRequest(), .actor = {in.getActor()}};
  if (in.hasError()) m.error = reader.error(in.getError());
  return m;
}

Message read_rest(const Reader& r, schema::Message::Reader in) {
  using M = schema::Message;
  switch (in.which()) {
    case M::PLACE_GROUP: return PlaceGroup{group_info(r.checked, in.getPlaceGroup())};
    case M::WATCH_GROUP: return WatchGroup{{in.getWatchGroup()}};
    case M::GROUP_PLACED: {
      auto m = in.getGroupPlaced();
      return GroupPlaced{{m.getGroup()}, m.hasError() ? std::optional(r.error(m.getError())) : std::nullopt};
    }
    case M::REMOVE_GROUP: return RemoveGroup{{in.getRemoveGroup()}};
    case M::GROUP_REMOVED: return GroupRemoved{{in.getGroupRemoved().getGroup()}, r.error(in.getGroupRemoved().getError())};
    case M::FIND_GROUPS: return FindGroups{in.getFindGroups().getRequest(), text(in.getFindGroups().getName())};
    case M::GROUPS: {
      Groups groups{.request = in.getGroups().getRequest()};
      for (auto each : r.checked(in.getGroups().getGroups())) groups.groups.push_back(group_info(r.checked, each));
      return groups;
    }
    case M::EXPLAIN_REQUEST: return ExplainRequest{in.getExplainRequest().getRequest(), in.getExplainRequest().getReference()};
    case M::EXPLAIN_REPLY: return ExplainReply{in.getExplainReply().getRequest(), text(in.getExplainReply().getText())};
    default: throw ProtocolError("a message of a kind that this build does not know");
  }
}

Message read(const Reader& r, schema::Message::Reader in) {
  using M = schema::Message;
  switch (in.which()) {
    case M::HELLO: {
      auto h = in.getHello();
      return Hello{h.getProcess(), h.getBuildId(), h.getInlineBytes(), resources(r.checked, h.getTotal()), Amount::from_raw(h.getCpusPerWorker()),
                   h.getMaxQueuedBytes(), h.getSubmitTimeoutMs(), h.getLineageBytes()};
    }
    case M::READY: return Ready{in.getReady().getBuildId()};
    case M::WANT_LEASES: return want_leases(r.checked, in.getWantLeases());
    case M::LEASE_GRANTED: {
      auto g = in.getLeaseGranted();
      return LeaseGranted{g.getPurpose(), lease_info(g.getLease()), g.getWorker()};
    }
    case M::LEASE_REFUSED: return LeaseRefused{in.getLeaseRefused().getPurpose(), r.error(in.getLeaseRefused().getError())};
    case M::LEASE_LOST: return LeaseLost{{in.getLeaseLost().getLease()}, r.error(in.getLeaseLost().getError()), in.getLeaseLost().getOwnDoing(),
                                              in.getLeaseLost().getShared(), in.getLeaseLost().getUnused()};
    case M::RELEASE_LEASE: return ReleaseLease{{in.getReleaseLease().getLease()}, in.getReleaseLease().getKill(), in.getReleaseLease().getTerminate()};
    case M::SET_BLOCKED: return SetBlocked{{in.getSetBlocked().getLease()}, in.getSetBlocked().getBlocked()};
    case M::RUN_TASKS: {
      auto m = in.getRunTasks();
      return RunTasks{m.getOwner(), lease_info(m.getLease()), r.tasks(m.getTasks())};
    }
    case M::TASKS_DONE: return TasksDone{{in.getTasksDone().getLease()}, r.outcomes(in.getTasksDone().getOutcomes()), in.getTasksDone().getHeldUp()};
    case M::CREATE_ACTOR: {
      auto m = in.getCreateActor();
      return CreateActor{m.getOwner(), {m.getActor()}, lease_info(m.getLease()), text(m.getName()), r.task(m.getConstructor()), concurrency(r.checked, m)};
    }
    case M::ACTOR_CREATED: {
      auto m = in.getActorCreated();
      return ActorCreated{{m.getActor()}, {m.getLease()}, r.outcome(m.getOutcome())};
    }
    case M::CALL_ACTOR: return CallActor{{in.getCallActor().getActor()}, r.tasks(in.getCallActor().getCalls())};
    case M::ACTOR_DONE: return ActorDone{{in.getActorDone().getActor()}, r.outcomes(in.getActorDone().getOutcomes())};
    case M::DESTROY_ACTOR: return DestroyActor{{in.getDestroyActor().getActor()}, in.getDestroyActor().getKill()};
    case M::ACTOR_DESTROYED: return ActorDestroyed{{in.getActorDestroyed().getActor()}, in.getActorDestroyed().getExited()};
    case M::OWNER_GONE: return OwnerGone{in.getOwnerGone().getOwner()};
    case M::STORE_REQUEST: {
      auto m = in.getStoreRequest();
      return StoreRequest{m.getRequest(), known(m.getOperation(), StoreOperation::kFree), {m.getId()}, m.getSize(), m.getOwner()};
    }
    case M::STORE_REPLY: return store_reply(r, in.getStoreReply());
    case M::RESOURCES: {
      auto m = in.getResources();
      return ResourcesReport{m.getRequest(), resources(r.checked, m.getTotal()), resources(r.checked, m.getAvailable())};
    }
    case M::SHUTDOWN: return Shutdown{};
    case M::CANCEL_WORK: {
      auto c = in.getCancelWork();
      CancelWork m{.lease = {c.getLease()}, .actor = {c.getActor()}, .recursive = c.getRecursive()};
      for (auto id : c.getTasks()) m.tasks.push_back({id});
      return m;
    }
    case M::DURABLE_REQUEST: return durable_request(r, in.getDurableRequest());
    case M::ORPHANS: return orphans(in.getOrphans());
    case M::DURABLE_REPLY: return durable_reply(r, in.getDurableReply());
    case M::ACTOR_REQUEST: return actor_request(in.getActorRequest());
    case M::ACTOR_PLACE: return actor_place(r, in.getActorPlace());
    case M::ACTOR_LENT: return ActorLent{in.getActorLent().getRequest(), r.value(in.getActorLent().getValue())};
    case M::ACTOR_WAITING: return actor_waiting(in.getActorWaiting());
    case M::DEADLOCK_FOUND: return DeadlockFound{{in.getDeadlockFound().getWaiter()}, r.error(in.getDeadlockFound().getError()), in.getDeadlockFound().getRound()};
    case M::NAME_REQUEST: return name_request(in.getNameRequest());
    case M::NAME_REPLY: return name_reply(r, in.getNameReply());
    case M::REFERENCES: return reference_updates(r.checked, in.getReferences());
    case M::RETIRE: return Retire{};
    case M::OBJECT_SETTLED: return ObjectSettled{r.outcome(in.getObjectSettled())};
    default: return read_rest(r, in);
  }
}

}  // namespace

Result<Message> decode(const Buffer& bytes) {
  try {
    capnp::ReaderOptions options;
    options.traversalLimitInWords = 2 * (bytes.size() / sizeof(capnp::word)) + 1024;  // nothing but a message's own fields is read twice
    options.nestingLimit = 64;
    kj::ArrayPtr<const capnp::word> words(reinterpret_cast<const capnp::word*>(bytes.data()), bytes.size() / sizeof(capnp::word));
    capnp::FlatArrayMessageReader reader(words, options);
    return read(Reader(bytes), reader.getRoot<schema::Message>());
  } catch (const kj::Exception& e) {
    return ErrorInfo{.code = ErrorCode::kProtocolError, .message = std::string("not a message: ") + e.getDescription().cStr()};
  } catch (const Error& e) {
    return e.info();
  } catch (const std::bad_alloc&) {
    return ErrorInfo{.code = ErrorCode::kProtocolError, .message = "a message of " + std::to_string(bytes.size()) + " bytes needs more memory than there is"};
  }
}

}  // namespace manta::wire
