#include <capnp/message.h>
#include <capnp/serialize.h>

#include <algorithm>
#include <new>

#include "runtime/wire/resources_codec.hpp"
#include "runtime/wire/small_values.hpp"

namespace manta::wire {

namespace {

using wire::put;  // those of resources_codec.hpp, beside the ones below

constexpr std::int64_t kMaxUnits = std::int64_t{1} << 53;  // of a reference: one each time that a process is given it while it has it still
constexpr int kMaxCauses = 16;  // links of an error's chain that travel; Cap'n Proto's own nesting limit is 64

void put(schema::Value::Builder out, const Value& value) {
  if (value.stored) {
    auto stored = out.initStored();
    stored.setId(value.stored.value);
    stored.setSize(value.stored_size);
  } else {
    auto data = out.initInline(static_cast<unsigned>(value.bytes.size()));
    if (!value.bytes.empty()) std::memcpy(data.begin(), value.bytes.data(), value.bytes.size());
  }
  if (!value.references) return;
  const auto& list = value.references->list;
  auto refs = out.initRefs(static_cast<unsigned>(list.size()));
  for (unsigned i = 0; i < refs.size(); ++i) {
    refs[i].setId(list[i].id);
    refs[i].setKind(list[i].kind);
    if (!list[i].name.empty()) refs[i].setName(as_text(list[i].name));
    if (list[i].max_pending_calls) refs[i].setMaxPendingCalls(list[i].max_pending_calls);
    if (list[i].serial) refs[i].setSerial(true);
    if (list[i].groups.empty()) continue;
    auto groups = refs[i].initGroups(static_cast<unsigned>(list[i].groups.size()));
    for (unsigned g = 0; g < groups.size(); ++g) groups.set(g, as_text(list[i].groups[g]));
  }
}

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

void put(schema::Error::Builder out, const ErrorInfo& error, int depth = 0) {
  out.setCode(static_cast<std::uint16_t>(error.code));
  out.setMessage(as_text(error.message)), out.setWhere(as_text(error.where));
  out.setRemoteType(as_text(error.remote_type));
  out.setLeftOut(error.left_out), out.setDidNotRun(error.did_not_run);
  const auto cause = depth == 0 ? as_cause(error.cause) : error.cause;
  if (cause && depth < kMaxCauses) put(out.initCause(), *cause, depth + 1);
}

void put(schema::Task::Builder out, const Task& task) {
  out.setId(task.id.value);
  out.setModule(task.module), out.setOffset(task.offset), out.setName(as_text(task.name));
  out.setAttempt(task.attempt);
  if (!task.group.empty()) out.setGroup(as_text(task.group));
  put(out.initArguments(), task.arguments);
  auto refs = out.initRefs(static_cast<unsigned>(task.refs.size()));
  for (unsigned i = 0; i < refs.size(); ++i) put(refs[i], task.refs[i]);
  out.setRetryModule(task.retry_module), out.setRetryOffset(task.retry_offset), out.setLosses(task.losses);
}

void put(schema::LeaseInfo::Builder out, const LeaseInfo& lease) {
  out.setId(lease.id.value);
  out.setCpus(lease.cpus.raw());
  out.setLendIdleCpus(lease.lend_idle_cpus);
  auto ids = out.initGpuIds(static_cast<unsigned>(lease.gpu_ids.size()));
  for (unsigned i = 0; i < ids.size(); ++i) ids.set(i, lease.gpu_ids[i]);
}
LeaseInfo lease_info(schema::LeaseInfo::Reader in) {
  LeaseInfo lease{.id = {in.getId()}, .cpus = Amount::from_raw(in.getCpus())};
  for (int id : in.getGpuIds()) lease.gpu_ids.push_back(id);
  lease.lend_idle_cpus = in.getLendIdleCpus();
  return lease;
}

void put(schema::Outcome::Builder out, const Outcome& outcome) {
  out.setId(outcome.id.value);
  out.setNanoseconds(outcome.nanoseconds), out.setRetry(outcome.retry), out.setLosses(outcome.losses);
  auto more = out.initMore(static_cast<unsigned>(outcome.more.size()));
  for (unsigned i = 0; i < more.size(); ++i) put(more[i], outcome.more[i]);
  if (outcome.lost) out.setLost(outcome.lost.value);
  if (auto* value = std::get_if<Value>(&outcome.result))
    put(out.initValue(), *value);
  else if (auto* error = std::get_if<ErrorInfo>(&outcome.result))
    put(out.initError(), *error);
  else
    out.setUnstarted();
}

void put(schema::ConcurrencyGroup::Builder out, const Concurrency::Group& group);
void put(schema::Method::Builder out, const Concurrency::Method& method) {
  out.setModule(method.module);
  out.setOffset(method.offset);
}
template <class List, class Items>
void put_all(List list, const Items& items) {
  for (unsigned i = 0; i < list.size(); ++i) put(list[i], items[i]);
}

void put(schema::ConcurrencyGroup::Builder out, const Concurrency::Group& group) {
  out.setName(as_text(group.name));
  out.setLimit(group.limit);
  put_all(out.initMethods(static_cast<unsigned>(group.methods.size())), group.methods);
}
Concurrency concurrency(const ListCheck& checked, schema::CreateActor::Reader in) {
  Concurrency out{.limit = in.getMaxConcurrency(), .coroutines = in.getMaxCoroutines()};
  for (auto group : checked(in.getGroups())) {
    auto& made = out.groups.emplace_back(Concurrency::Group{.name = text(group.getName()), .limit = group.getLimit()});
    for (auto method : checked(group.getMethods())) made.methods.push_back({method.getModule(), method.getOffset()});
  }
  return out;
}

unsigned size_of(const auto& items) { return static_cast<unsigned>(items.size()); }

struct Encoder {
  schema::Message::Builder out;

  void operator()(const Hello& m) {
    auto o = out.initHello();
    o.setProcess(m.process), o.setBuildId(m.build_id), o.setInlineBytes(m.inline_bytes), o.setCpusPerWorker(m.cpus.raw());
    o.setMaxQueuedBytes(m.max_queued_bytes), o.setSubmitTimeoutMs(m.submit_timeout_ms);
    o.setLineageBytes(m.lineage_bytes);
    put(o.initTotal(count(m.total)), m.total);
  }
  void operator()(const Ready& m) { out.initReady().setBuildId(m.build_id); }
  void operator()(const WantLeases& m) {
    auto o = out.initWantLeases();
    o.setPurpose(m.purpose), o.setCount(m.count), o.setCpus(m.shape.cpus.raw()), o.setGpus(m.shape.gpus.raw());
    put(o.initCustom(count(m.shape.custom)), m.shape.custom);
    o.setGroup(m.shape.group.value), o.setBundle(m.shape.bundle);
    o.setOwnProcess(m.own_process), o.setRetriable(m.retriable), o.setEcho(m.options.echo);
    o.setName(as_text(m.options.name)), o.setLogFile(as_text(m.options.log_file));
    auto environment = o.initEnvironment(size_of(m.options.environment));
    unsigned i = 0;
    for (const auto& [name, value] : m.options.environment) environment[i].setName(as_text(name)), environment[i++].setValue(as_text(value));
  }
  void operator()(const LeaseGranted& m) {
    auto o = out.initLeaseGranted();
    o.setPurpose(m.purpose), o.setWorker(m.worker);
    put(o.initLease(), m.lease);
  }
  void operator()(const LeaseRefused& m) {
    auto o = out.initLeaseRefused();
    o.setPurpose(m.purpose);
    put(o.initError(), m.error);
  }
  void operator()(const LeaseLost& m) {
    auto o = out.initLeaseLost();
    o.setLease(m.lease.value), o.setOwnDoing(m.own_doing), o.setShared(m.shared), o.setUnused(m.unused);
    put(o.initError(), m.error);
  }
  void operator()(const ReleaseLease& m) {
    auto o = out.initReleaseLease();
    o.setLease(m.lease.value), o.setKill(m.kill), o.setTerminate(m.terminate);
  }
  void operator()(const SetBlocked& m) {
    auto o = out.initSetBlocked();
    o.setLease(m.lease.value), o.setBlocked(m.blocked);
  }
  void operator()(const RunTasks& m) {
    auto o = out.initRunTasks();
    o.setOwner(m.owner);
    put(o.initLease(), m.lease);
    put_all(o.initTasks(size_of(m.tasks)), m.tasks);
  }
  void operator()(const TasksDone& m) {
    auto o = out.initTasksDone();
    o.setLease(m.lease.value), o.setHeldUp(m.held_up);
    put_all(o.initOutcomes(size_of(m.outcomes)), m.outcomes);
  }
  void operator()(const CreateActor& m) {
    auto o = out.initCreateActor();
    o.setOwner(m.owner), o.setActor(m.actor.value), o.setName(as_text(m.name));
    put(o.initLease(), m.lease);
    put(o.initConstructor(), m.constructor);
    o.setMaxConcurrency(m.concurrency.limit), o.setMaxCoroutines(m.concurrency.coroutines);
    put_all(o.initGroups(size_of(m.concurrency.groups)), m.concurrency.groups);
  }
  void operator()(const ActorCreated& m) {
    auto o = out.initActorCreated();
    o.setActor(m.actor.value), o.setLease(m.lease.value);
    put(o.initOutcome(), m.outcome);
  }
  void operator()(const CallActor& m) {
    auto o = out.initCallActor();
    o.setActor(m.actor.value);
    put_all(o.initCalls(size_of(m.calls)), m.calls);
  }
  void operator()(const ActorDone& m) {
    auto o = out.initActorDone();
    o.setActor(m.actor.value);
    put_all(o.initOutcomes(size_of(m.outcomes)), m.outcomes);
  }
  void operator()(const DestroyActor& m) {
    auto o = out.initDestroyActor();
    o.setActor(m.actor.value), o.setKill(m.kill);
  }
  void operator()(const ActorDestroyed& m) {
    auto o = out.initActorDestroyed();
    o.setActor(m.actor.value), o.setExited(m.exited);
  }
  void operator()(const OwnerGone& m) { out.initOwnerGone().setOwner(m.owner); }
  void operator()(const StoreRequest& m) {
    auto o = out.initStoreRequest();
    o.setRequest(m.request), o.setId(m.id.value), o.setSize(m.size), o.setOwner(m.owner);
    o.setOperation(static_cast<std::uint8_t>(m.operation));
  }
  void operator()(const StoreReply& m) {
    auto o = out.initStoreReply();
    o.setRequest(m.request), o.setId(m.id.value), o.setExtent(m.extent), o.setOffset(m.offset), o.setSize(m.size);
    o.setExtentBytes(m.extent_bytes);
    if (m.error) put(o.initError(), *m.error);
    if (m.retired.empty()) return;
    auto retired = o.initRetired(static_cast<unsigned>(m.retired.size()));
    for (unsigned i = 0; i < retired.size(); ++i) retired.set(i, m.retired[i]);
  }
  void operator()(const ResourcesReport& m) {
    auto o = out.initResources();
    o.setRequest(m.request);
    put(o.initTotal(count(m.total)), m.total);
    put(o.initAvailable(count(m.available)), m.available);
  }
  void operator()(const Shutdown&) { out.setShutdown(); }
  void operator()(const CancelWork& m) {
    auto o = out.initCancelWork();
    o.setLease(m.lease.value), o.setActor(m.actor.value), o.setRecursive(m.recursive);
    auto tasks = o.initTasks(size_of(m.tasks));
    for (unsigned i = 0; i < tasks.size(); ++i) tasks.set(i, m.tasks[i].value);
  }
  void operator()(const Orphans& m) {
    auto objects = out.initOrphans().initObjects(size_of(m.objects));
    for (unsigned i = 0; i < objects.size(); ++i) objects.set(i, m.objects[i].value);
  }
  void operator()(const DurableRequest& m) {
    auto o = out.initDurableRequest();
    o.setRequest(m.request), o.setOperation(static_cast<std::uint8_t>(m.operation));
    o.setName(as_text(m.name)), o.setTypeTag(as_text(m.type_tag)), o.setAfter(as_text(m.after));
    put(o.initValue(), m.value);
  }
  void operator()(const DurableReply& m) {
    auto o = out.initDurableReply();
    o.setRequest(m.request), o.setMore(m.more);
    put(o.initValue(), m.value);
    auto names = o.initNames(size_of(m.names));
    for (unsigned i = 0; i < names.size(); ++i) names.set(i, as_text(m.names[i]));
    if (m.error) put(o.initError(), *m.error);
  }
  void operator()(const ActorRequest& m) {
    auto o = out.initActorRequest();
    o.setActor(m.actor.value), o.setOperation(static_cast<std::uint8_t>(m.operation)), o.setRequest(m.request);
  }
  void operator()(const ActorPlace& m) {
    auto o = out.initActorPlace();
    o.setActor(m.actor.value), o.setState(static_cast<std::uint8_t>(m.state)), o.setLease(m.lease.value), o.setWorker(m.worker);
    o.setMaxTaskRetries(m.max_task_retries), o.setUnordered(m.unordered), o.setCreationFailed(m.creation_failed);
    if (m.error) put(o.initError(), *m.error);
  }
  void operator()(const ActorLent& m) {
    auto o = out.initActorLent();
    o.setRequest(m.request);
    put(o.initValue(), m.value);
  }
  void operator()(const ActorWaiting& m) {
    auto o = out.initActorWaiting();
    o.setWaiter(m.waiter.value), o.setTarget(m.target.value), o.setWhat(as_text(m.what)), o.setRound(m.round);
  }
  void operator()(const DeadlockFound& m) {
    auto o = out.initDeadlockFound();
    o.setWaiter(m.waiter.value), o.setRound(m.round);
    put(o.initError(), m.error);
  }
  void operator()(const NameRequest& m) {
    auto o = out.initNameRequest();
    o.setRequest(m.request), o.setOperation(static_cast<std::uint8_t>(m.operation)), o.setName(as_text(m.name)), o.setActor(m.actor.value);
    put(o.initType(), Concurrency::Method{m.type.module, m.type.offset});
    o.setTypeName(as_text(m.type.name));
  }
  void operator()(const NameReply& m) {
    auto o = out.initNameReply();
    o.setRequest(m.request), o.setActor(m.actor.value);
    if (m.error) put(o.initError(), *m.error);
  }
  void operator()(const ReferenceUpdates& m) {
    auto list = out.initReferences(size_of(m.list));
    for (unsigned i = 0; i < list.size(); ++i) {
      list[i].setOperation(static_cast<std::uint8_t>(m.list[i].operation)), list[i].setId(m.list[i].id);
      list[i].setProcess(m.list[i].process), list[i].setUnits(m.list[i].units);
    }
  }
  void operator()(const Retire&) { out.setRetire(); }
  void operator()(const ObjectSettled& m) { put(out.initObjectSettled(), m.outcome); }
  void operator()(const PlaceGroup& m) { put(out.initPlaceGroup(), m.group); }
  void operator()(const WatchGroup& m) { out.setWatchGroup(m.group.value); }
  void operator()(const GroupPlaced& m) {
    auto o = out.initGroupPlaced();
    o.setGroup(m.group.value);
    if (m.error) put(o.initError(), *m.error);
  }
  void operator()(const RemoveGroup& m) { out.setRemoveGroup(m.group.value); }
  void operator()(const GroupRemoved& m) {
    auto o = out.initGroupRemoved();
    o.setGroup(m.group.value);
    put(o.initError(), m.error);
  }
  void operator()(const FindGroups& m) {
    auto o = out.initFindGroups();
    o.setRequest(m.request), o.setName(as_text(m.name));
  }
  void operator()(const Groups& m) {
    auto o = out.initGroups();
    o.setRequest(m.request);
    put_all(o.initGroups(size_of(m.groups)), m.groups);
  }
  void operator()(const ExplainRequest& m) {
    auto o = out.initExplainRequest();
    o.setRequest(m.request), o.setReference(m.reference);
  }
  void operator()(const ExplainReply& m) {
    auto o = out.initExplainReply();
    o.setRequest(m.request), o.setText(as_text(m.text));
  }
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

Buffer encode(const Message& message) {
  capnp::MallocMessageBuilder builder;
  std::visit(Encoder{builder.initRoot<schema::Message>()}, message);
  auto words = std::make_shared<kj::Array<capnp::word>>(capnp::messageToFlatArray(builder));
  const auto bytes = words->asBytes();
  return Buffer(std::move(words), {reinterpret_cast<const std::byte*>(bytes.begin()), bytes.size()});
}

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
