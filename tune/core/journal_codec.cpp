#include "tune/core/journal_codec.hpp"

#include <capnp/message.h>
#include <capnp/serialize.h>

#include <cstring>

#include "runtime/errors.hpp"
#include "tune/core/journal.capnp.h"

namespace manta::tune {

namespace {

void write_value(schema::Value::Builder out, const Value& value);

void write_entries(capnp::List<schema::Entry>::Builder out, const Value::Dict& entries) {
  for (unsigned i = 0; i < out.size(); ++i) {
    out[i].setName(entries[i].name);
    write_value(out[i].initValue(), entries[i].value);
  }
}

void write_value(schema::Value::Builder out, const Value& value) {
  if (const auto* boolean = value.as<bool>()) return out.setBoolean(*boolean);
  if (const auto* integer = value.as<std::int64_t>()) return out.setInteger(*integer);
  if (const auto* number = value.as<double>()) return out.setNumber(*number);
  if (const auto* text = value.as<std::string>()) return out.setText(*text);
  if (const auto* table = value.as<Value::Dict>())
    return write_entries(out.initTable(static_cast<unsigned>(table->size())), *table);
  const auto* list = value.as<Value::List>();
  if (!list) return out.setNone();
  auto items = out.initList(static_cast<unsigned>(list->size()));
  for (unsigned i = 0; i < items.size(); ++i) write_value(items[i], (*list)[i]);
}

std::string text(capnp::Text::Reader reader) { return {reader.begin(), reader.size()}; }

Value read_value(schema::Value::Reader in);

Value::Dict read_entries(capnp::List<schema::Entry>::Reader in) {
  Value::Dict entries;
  for (auto entry : in) entries.push_back({text(entry.getName()), read_value(entry.getValue())});
  return entries;
}

Value read_value(schema::Value::Reader in) {
  switch (in.which()) {
    case schema::Value::NONE: return {};
    case schema::Value::BOOLEAN: return in.getBoolean();
    case schema::Value::INTEGER: return in.getInteger();
    case schema::Value::NUMBER: return in.getNumber();
    case schema::Value::TEXT: return text(in.getText());
    case schema::Value::TABLE: return read_entries(in.getTable());
    case schema::Value::LIST: {
      Value::List list;
      for (auto item : in.getList()) list.push_back(read_value(item));
      return list;
    }
  }
  throw StorageCorruption("the experiment's journal: a value of an unknown kind. A newer version wrote it.");
}

void write(schema::Record::Builder out, const ExperimentCreated& event) {
  auto body = out.initExperimentCreated();
  body.setName(event.name);
  body.setSeed(event.seed);
  auto items = body.initDescription(static_cast<unsigned>(event.description.size()));
  for (unsigned i = 0; i < items.size(); ++i) {
    items[i].setKey(event.description[i].first);
    items[i].setValue(event.description[i].second);
  }
}

void write(schema::Record::Builder out, const SessionStarted& event) { out.initSessionStarted().setPid(event.pid); }

void write(schema::Record::Builder out, const TrialCreated& event) {
  auto body = out.initTrialCreated();
  body.setTrial(event.trial);
  body.setTag(event.tag);
  write_entries(body.initConfig(static_cast<unsigned>(event.config.entries().size())), event.config.entries());
}

void write(schema::Record::Builder out, const TrialStarted& event) {
  auto body = out.initTrialStarted();
  body.setTrial(event.trial);
  body.setFromIteration(event.from_iteration);
}

void write(schema::Record::Builder out, const TrialReported& event) {
  auto body = out.initTrialReported();
  body.setTrial(event.trial);
  body.setIteration(event.iteration);
  body.setTimeThisIterS(event.time_this_iter_s);
  body.setCheckpoint(event.checkpoint);
  body.setPid(event.pid);
  body.setCheckpointBytes(event.checkpoint_bytes);
  auto metrics = body.initMetrics(static_cast<unsigned>(event.metrics.size()));
  unsigned i = 0;
  for (const auto& [name, value] : event.metrics) {
    metrics[i].setName(name);
    metrics[i++].setValue(value);
  }
}

void write(schema::Record::Builder out, const TrialCheckpointed& event) {
  auto body = out.initTrialCheckpointed();
  body.setTrial(event.trial);
  body.setIteration(event.iteration);
  body.setCheckpoint(event.checkpoint);
  body.setCheckpointBytes(event.checkpoint_bytes);
}

void write(schema::Record::Builder out, const TrialFinished& event) { out.initTrialFinished().setTrial(event.trial); }

void write(schema::Record::Builder out, const TrialFailed& event) {
  auto body = out.initTrialFailed();
  body.setTrial(event.trial);
  body.setError(event.error);
  body.setForGood(event.for_good);
}

void write(schema::Record::Builder out, const TrialTimedOut& event) {
  auto body = out.initTrialTimedOut();
  body.setTrial(event.trial);
  body.setReason(event.reason);
}

void write(schema::Record::Builder out, const ExperimentStopped& event) { out.initExperimentStopped().setReason(event.reason); }

void write(schema::Record::Builder out, const SchedulerIdle&) { out.setSchedulerIdle(); }

ExperimentCreated read(schema::ExperimentCreated::Reader in) {
  ExperimentCreated event{text(in.getName()), in.getSeed(), {}};
  for (auto item : in.getDescription()) event.description.emplace_back(text(item.getKey()), text(item.getValue()));
  return event;
}

TrialReported read(schema::TrialReported::Reader in) {
  TrialReported event{in.getTrial(), in.getIteration(), {}, in.getTimeThisIterS(), text(in.getCheckpoint()), in.getPid(),
                      in.getCheckpointBytes()};
  for (auto metric : in.getMetrics()) event.metrics.set(text(metric.getName()), metric.getValue());
  return event;
}

EventBody read_body(schema::Record::Reader in) {
  switch (in.which()) {
    case schema::Record::EXPERIMENT_CREATED: return read(in.getExperimentCreated());
    case schema::Record::SESSION_STARTED: return SessionStarted{in.getSessionStarted().getPid()};
    case schema::Record::TRIAL_CREATED: {
      auto body = in.getTrialCreated();
      return TrialCreated{body.getTrial(), text(body.getTag()), Config(read_entries(body.getConfig()))};
    }
    case schema::Record::TRIAL_STARTED: {
      auto body = in.getTrialStarted();
      return TrialStarted{body.getTrial(), body.getFromIteration()};
    }
    case schema::Record::TRIAL_REPORTED: return read(in.getTrialReported());
    case schema::Record::TRIAL_CHECKPOINTED: {
      auto body = in.getTrialCheckpointed();
      return TrialCheckpointed{body.getTrial(), body.getIteration(), text(body.getCheckpoint()), body.getCheckpointBytes()};
    }
    case schema::Record::TRIAL_FINISHED: return TrialFinished{in.getTrialFinished().getTrial()};
    case schema::Record::TRIAL_FAILED: {
      auto body = in.getTrialFailed();
      return TrialFailed{body.getTrial(), text(body.getError()), body.getForGood()};
    }
    case schema::Record::SCHEDULER_IDLE: return SchedulerIdle{};
    case schema::Record::TRIAL_TIMED_OUT: {
      auto body = in.getTrialTimedOut();
      return TrialTimedOut{body.getTrial(), text(body.getReason())};
    }
    case schema::Record::EXPERIMENT_STOPPED: return ExperimentStopped{text(in.getExperimentStopped().getReason())};
  }
  throw StorageCorruption("the experiment's journal: an event of an unknown kind. A newer version wrote it.");
}

std::vector<std::byte> flat_bytes(capnp::MessageBuilder& message) {
  const auto words = capnp::messageToFlatArray(message);
  const auto bytes = words.asBytes();
  std::vector<std::byte> out(bytes.size());
  std::memcpy(out.data(), bytes.begin(), bytes.size());
  return out;
}

/// Reads a message from bytes of any alignment; what Cap'n Proto throws becomes StorageCorruption.
template <class Struct, class F>
auto parse(std::span<const std::byte> bytes, F&& use) {
  if (bytes.size() % sizeof(capnp::word) != 0) throw StorageCorruption("the experiment's journal: a record that was cut.");
  std::vector<capnp::word> words(bytes.size() / sizeof(capnp::word));
  if (!bytes.empty()) std::memcpy(static_cast<void*>(words.data()), bytes.data(), bytes.size());
  try {
    capnp::FlatArrayMessageReader reader(kj::arrayPtr(words.data(), words.size()));
    return use(reader.getRoot<Struct>());
  } catch (const kj::Exception& error) {
    throw StorageCorruption("the experiment's journal: a record that cannot be read: " +
                            std::string(error.getDescription().cStr()));
  }
}

}  // namespace

std::vector<std::byte> encode_event(const Event& event) {
  capnp::MallocMessageBuilder message;
  auto record = message.initRoot<schema::Record>();
  record.setTimeMs(event.time_ms);
  std::visit([&](const auto& body) { write(record, body); }, event.body);
  return flat_bytes(message);
}

Event decode_event(std::span<const std::byte> bytes) {
  return parse<schema::Record>(bytes, [](auto record) { return Event{record.getTimeMs(), read_body(record)}; });
}

std::string encode_config(const Config& config) {
  capnp::MallocMessageBuilder message;
  auto root = message.initRoot<schema::TrialCreated>();
  write_entries(root.initConfig(static_cast<unsigned>(config.entries().size())), config.entries());
  const auto bytes = flat_bytes(message);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

Config decode_config(std::string_view bytes) {
  return parse<schema::TrialCreated>(std::as_bytes(std::span(bytes.data(), bytes.size())),
                                     [](auto root) { return Config(read_entries(root.getConfig())); });
}

}  // namespace manta::tune
