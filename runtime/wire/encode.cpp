// Messages into bytes. What is added here decode.cpp reads.
#include <capnp/message.h>
#include <capnp/serialize.h>

#include "runtime/wire/resources_codec.hpp"

namespace manta::wire {

namespace {

using wire::put;  // those of resources_codec.hpp, beside the ones below

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

template <class List, class Items>
void put_all(List list, const Items& items) {
  for (unsigned i = 0; i < list.size(); ++i) put(list[i], items[i]);
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

}  // namespace

Buffer encode(const Message& message) {
  capnp::MallocMessageBuilder builder;
  std::visit(Encoder{builder.initRoot<schema::Message>()}, message);
  auto words = std::make_shared<kj::Array<capnp::word>>(capnp::messageToFlatArray(builder));
  const auto bytes = words->asBytes();
  return Buffer(std::move(words), {reinterpret_cast<const std::byte*>(bytes.begin()), bytes.size()});
}

}  // namespace manta::wire
