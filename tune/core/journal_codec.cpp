#include "tune/core/journal_codec.hpp"

#include <capnp/message.h>
#include <capnp/serialize-packed.h>
#include <capnp/serialize.h>
#include <kj/io.h>

#include <algorithm>
#include <cstring>
#include <iterator>

#include "runtime/errors.hpp"
#include "tune/core/journal.capnp.h"

namespace manta::tune {

namespace {

/// All of it: converted by itself a string would end at its first NUL.
capnp::Text::Reader as_text(const std::string& text) { return {text.c_str(), text.size()}; }

void write_value(schema::Value::Builder out, const Value& value);

void write_entries(capnp::List<schema::Entry>::Builder out, const Value::Dict& entries) {
  for (unsigned i = 0; i < out.size(); ++i) {
    out[i].setName(as_text(entries[i].name));
    write_value(out[i].initValue(), entries[i].value);
  }
}

void write_value(schema::Value::Builder out, const Value& value) {
  if (const auto* boolean = value.as<bool>()) return out.setBoolean(*boolean);
  if (const auto* integer = value.as<std::int64_t>()) return out.setInteger(*integer);
  if (const auto* number = value.as<double>()) return out.setNumber(*number);
  if (const auto* text = value.as<std::string>()) return out.setText(as_text(*text));
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

void write_metrics(capnp::List<schema::Metric>::Builder out, const Metrics& metrics) {
  unsigned i = 0;
  for (const auto& [name, value] : metrics) {
    out[i].setName(as_text(name));
    out[i++].setValue(value);
  }
}

Metrics read_metrics(capnp::List<schema::Metric>::Reader in) {
  Metrics metrics;
  for (auto metric : in) metrics.set(text(metric.getName()), metric.getValue());
  return metrics;
}

void write(schema::Record::Builder out, const ExperimentCreated& event) {
  auto body = out.initExperimentCreated();
  body.setName(as_text(event.name));
  body.setSeed(event.seed);
  body.setRules(event.rules);
  auto items = body.initDescription(static_cast<unsigned>(event.description.size()));
  for (unsigned i = 0; i < items.size(); ++i) {
    items[i].setKey(as_text(event.description[i].first));
    items[i].setValue(as_text(event.description[i].second));
  }
}

void write(schema::Record::Builder out, const SessionStarted& event) { out.initSessionStarted().setPid(event.pid); }

void write(schema::Record::Builder out, const TrialCreated& event) {
  auto body = out.initTrialCreated();
  body.setTrial(event.trial);
  body.setTag(as_text(event.tag));
  write_entries(body.initConfig(static_cast<unsigned>(event.config.entries().size())), event.config.entries());
}

void write(schema::Record::Builder out, const TrialStarted& event) {
  auto body = out.initTrialStarted();
  body.setTrial(event.trial);
  body.setFromIteration(event.from_iteration);
  body.setWaits(event.waits);
}

void write(schema::Record::Builder out, const TrialBegun& event) { out.initTrialBegun().setTrial(event.trial); }

void write(schema::Record::Builder out, const TrialReported& event) {
  auto body = out.initTrialReported();
  body.setTrial(event.trial);
  body.setIteration(event.iteration);
  body.setTimeThisIterS(event.time_this_iter_s);
  body.setCheckpoint(as_text(event.checkpoint));
  body.setPid(event.pid);
  body.setCheckpointBytes(event.checkpoint_bytes);
  write_metrics(body.initMetrics(static_cast<unsigned>(event.metrics.size())), event.metrics);
}

void write(schema::Record::Builder out, const TrialCheckpointed& event) {
  auto body = out.initTrialCheckpointed();
  body.setTrial(event.trial);
  body.setIteration(event.iteration);
  body.setCheckpoint(as_text(event.checkpoint));
  body.setCheckpointBytes(event.checkpoint_bytes);
}

void write(schema::Record::Builder out, const TrialFinished& event) { out.initTrialFinished().setTrial(event.trial); }

void write(schema::Record::Builder out, const TrialFailed& event) {
  auto body = out.initTrialFailed();
  body.setTrial(event.trial);
  body.setError(as_text(event.error));
  body.setForGood(event.for_good);
  body.setRetries(!event.again ? 0 : *event.again ? 1 : 2);
}

void write(schema::Record::Builder out, const TrialTimedOut& event) {
  auto body = out.initTrialTimedOut();
  body.setTrial(event.trial);
  body.setReason(as_text(event.reason));
}

void write(schema::Record::Builder out, const ExperimentStopped& event) { out.initExperimentStopped().setReason(as_text(event.reason)); }

void write(schema::Record::Builder out, const SchedulerIdle&) { out.setSchedulerIdle(); }

capnp::Data::Reader data(const std::string& bytes) {
  return {reinterpret_cast<const kj::byte*>(bytes.data()), bytes.size()};
}
std::string bytes_of(capnp::Data::Reader in) { return {reinterpret_cast<const char*>(in.begin()), in.size()}; }

void write(schema::Record::Builder out, const ExperimentSnapshot& event) {
  auto body = out.initExperimentSnapshot();
  body.setWorkedMs(event.worked_ms);
  body.setExhausted(event.exhausted);
  body.setStoppedBy(as_text(event.stopped_by));
  body.setCheckpointsMade(event.checkpoints_made);
  body.setSearcher(data(event.searcher));
  body.setScheduler(data(event.scheduler));
  body.setStopper(data(event.stopper));
}

void write_amounts(capnp::List<schema::Resources::Amount>::Builder out, const Resources& amounts) {
  unsigned i = 0;
  for (const auto& [name, amount] : amounts) {
    out[i].setName(as_text(name));
    out[i++].setRaw(amount.raw());
  }
}

unsigned count_of(const Resources& amounts) { return static_cast<unsigned>(std::distance(amounts.begin(), amounts.end())); }

void write_resources(schema::Resources::Builder out, const TrialResources& resources) {
  out.setNumCpus(resources.num_cpus.raw());
  out.setNumGpus(resources.num_gpus.raw());
  write_amounts(out.initCustom(count_of(resources.custom)), resources.custom);
  write_amounts(out.initWorkers(count_of(resources.workers)), resources.workers);
  out.setStrategy(static_cast<std::uint8_t>(resources.strategy));
  auto bundles = out.initBundles(static_cast<unsigned>(resources.bundles.size()));
  for (unsigned i = 0; i < bundles.size(); ++i) {
    const Bundle& bundle = resources.bundles[i];
    bundles[i].setNumCpus(bundle.num_cpus.raw());
    bundles[i].setNumGpus(bundle.num_gpus.raw());
    bundles[i].setMemoryBytes(bundle.memory_bytes);
    write_amounts(bundles[i].initCustom(count_of(bundle.resources)), bundle.resources);
  }
}

void write_checkpoints(capnp::List<schema::TrialSnapshot::Checkpoint>::Builder out, const std::vector<CheckpointRef>& checkpoints) {
  for (unsigned i = 0; i < out.size(); ++i) {
    const CheckpointRef& checkpoint = checkpoints[i];
    out[i].setIteration(checkpoint.iteration);
    out[i].setName(as_text(checkpoint.name));
    out[i].setScored(checkpoint.score.has_value());
    out[i].setScore(checkpoint.score.value_or(0));
    out[i].setBytes(checkpoint.bytes);
    out[i].setOrder(checkpoint.order);
  }
}

void write_ranges(capnp::List<schema::TrialSnapshot::Range>::Builder out, const std::vector<MetricRange>& ranges) {
  for (unsigned i = 0; i < out.size(); ++i) {
    out[i].setName(as_text(ranges[i].name));
    out[i].setLast(ranges[i].last);
    out[i].setMin(ranges[i].min);
    out[i].setMax(ranges[i].max);
  }
}

void write_cloned(schema::TrialSnapshot::Cloned::Builder out, const ClonedCheckpoint& cloned) {
  out.setDonor(cloned.donor);
  out.setDonorName(as_text(cloned.donor_name));
  out.setName(as_text(cloned.name));
}

ClonedCheckpoint read_cloned(schema::TrialSnapshot::Cloned::Reader in) { return {in.getDonor(), text(in.getDonorName()), text(in.getName())}; }

void write(schema::Record::Builder out, const TrialSnapshot& event) {
  auto body = out.initTrialSnapshot();
  const Trial& trial = *event.state;
  body.setTrial(trial.index);
  body.setTag(as_text(trial.tag));
  if (!trial.exploit_tag.empty()) body.setExploitTag(as_text(trial.exploit_tag));
  write_entries(body.initConfig(static_cast<unsigned>(trial.config.entries().size())), trial.config.entries());
  body.setState(static_cast<std::uint8_t>(trial.state));
  body.setTimedOut(trial.timed_out);
  body.setAttempts(trial.attempts);
  body.setFailures(trial.failures);
  body.setExploits(trial.exploits);
  body.setIteration(trial.iteration);
  body.setResults(trial.results);
  body.setTimeTotalS(trial.time_total_s);
  body.setTimeRunningS(trial.time_running_s);
  body.setRunningSinceMs(event.running_since_ms);
  body.setPid(trial.pid);
  if (!trial.error.empty()) body.setError(as_text(trial.error));
  write_metrics(body.initLast(static_cast<unsigned>(trial.last.size())), trial.last);
  write_ranges(body.initRanges(static_cast<unsigned>(trial.ranges.size())), trial.ranges);
  write_checkpoints(body.initCheckpoints(static_cast<unsigned>(trial.checkpoints.size())), trial.checkpoints);
  if (trial.resources) write_resources(body.initResources(), *trial.resources);
  body.setCopyOnly(trial.copy_only);
  if (trial.before_exploit) {
    const BeforeExploit& before = *trial.before_exploit;
    write_entries(body.initResultConfig(static_cast<unsigned>(before.config.entries().size())), before.config.entries());
    body.setResultIteration(before.iteration);
    body.setResultTimeTotalS(before.time_total_s);
  }
  if (trial.cloned) write_cloned(body.initCloned(), *trial.cloned);
}

Resources read_amounts(capnp::List<schema::Resources::Amount>::Reader in) {
  Resources amounts;
  for (auto amount : in) amounts.set(text(amount.getName()), Amount::from_raw(amount.getRaw()));
  return amounts;
}

TrialResources read_resources(schema::Resources::Reader in) {
  if (in.getStrategy() > static_cast<std::uint8_t>(PlacementStrategy::kStrictSpread))
    throw StorageCorruption("the experiment's journal: a placement strategy that is unknown. A newer version wrote it.");
  TrialResources resources{.num_cpus = Amount::from_raw(in.getNumCpus()),
                           .num_gpus = Amount::from_raw(in.getNumGpus()),
                           .custom = read_amounts(in.getCustom()),
                           .workers = read_amounts(in.getWorkers()),
                           .strategy = static_cast<PlacementStrategy>(in.getStrategy())};
  for (auto bundle : in.getBundles())
    resources.bundles.push_back({Amount::from_raw(bundle.getNumCpus()), Amount::from_raw(bundle.getNumGpus()),
                                 bundle.getMemoryBytes(), read_amounts(bundle.getCustom())});
  return resources;
}

TrialSnapshot read(schema::TrialSnapshot::Reader in) {
  auto trial = std::make_shared<Trial>();
  trial->index = in.getTrial();
  trial->tag = text(in.getTag());
  trial->exploit_tag = text(in.getExploitTag());
  trial->config = Config(read_entries(in.getConfig()));
  trial->state = static_cast<TrialState>(std::min<std::uint8_t>(in.getState(), static_cast<std::uint8_t>(TrialState::kError)));
  trial->timed_out = in.getTimedOut();
  trial->attempts = in.getAttempts();
  trial->failures = in.getFailures();
  trial->exploits = in.getExploits();
  trial->iteration = in.getIteration();
  trial->results = in.getResults();
  trial->time_total_s = in.getTimeTotalS();
  trial->time_running_s = in.getTimeRunningS();
  trial->pid = in.getPid();
  trial->error = text(in.getError());
  trial->last = read_metrics(in.getLast());
  for (auto range : in.getRanges()) trial->ranges.push_back({text(range.getName()), range.getLast(), range.getMin(), range.getMax()});
  for (auto checkpoint : in.getCheckpoints())
    trial->checkpoints.push_back({checkpoint.getIteration(), text(checkpoint.getName()),
                                  checkpoint.getScored() ? std::optional(checkpoint.getScore()) : std::nullopt,
                                  checkpoint.getBytes(), checkpoint.getOrder()});
  if (in.hasResources()) trial->resources = read_resources(in.getResources());
  trial->copy_only = in.getCopyOnly();
  if (in.hasResultConfig()) {
    const bool told = in.getResultIteration() != 0;  // older versions wrote the configuration only
    trial->before_exploit = BeforeExploit{Config(read_entries(in.getResultConfig())), told ? in.getResultIteration() : trial->iteration,
                                          told ? in.getResultTimeTotalS() : trial->time_total_s};
  }
  if (in.hasCloned()) trial->cloned = read_cloned(in.getCloned());
  return {std::move(trial), in.getRunningSinceMs()};
}

ExperimentSnapshot read(schema::ExperimentSnapshot::Reader in) {
  return {in.getWorkedMs(),           in.getExhausted(),           text(in.getStoppedBy()),  in.getCheckpointsMade(),
          bytes_of(in.getSearcher()), bytes_of(in.getScheduler()), bytes_of(in.getStopper())};
}

void write(schema::Record::Builder out, const TrialDecided& event) {
  auto body = out.initTrialDecided();
  body.setTrial(event.trial);
  body.setState(static_cast<std::uint8_t>(event.state));
  body.setRung(event.rung);
  body.setError(as_text(event.error));
  if (!event.changed) return;
  body.setChanged(true);
  body.setIteration(event.iteration);
  body.setTimeTotalS(event.time_total_s);
  body.setTag(as_text(event.tag));
  write_entries(body.initConfig(static_cast<unsigned>(event.config.entries().size())), event.config.entries());
  body.setExploits(event.exploits);
  if (event.cloned) write_cloned(body.initCloned(), *event.cloned);
}

TrialDecided read(schema::TrialDecided::Reader in) {
  if (in.getState() > static_cast<std::uint8_t>(TrialState::kError))
    throw StorageCorruption("the experiment's journal: a trial's state that is unknown. A newer version wrote it.");
  return {in.getTrial(),     static_cast<TrialState>(in.getState()),   in.getRung(),        in.getChanged(),
          in.getIteration(), in.getTimeTotalS(), Config(read_entries(in.getConfig())), text(in.getTag()), text(in.getError()),
          in.getExploits(),  in.hasCloned() ? std::optional(read_cloned(in.getCloned())) : std::nullopt};
}

ExperimentCreated read(schema::ExperimentCreated::Reader in) {
  ExperimentCreated event{text(in.getName()), in.getSeed(), {}, in.getRules()};
  for (auto item : in.getDescription()) event.description.emplace_back(text(item.getKey()), text(item.getValue()));
  return event;
}

TrialReported read(schema::TrialReported::Reader in) {
  TrialReported event{in.getTrial(), in.getIteration(), {}, in.getTimeThisIterS(), text(in.getCheckpoint()), in.getPid(),
                      in.getCheckpointBytes()};
  event.metrics = read_metrics(in.getMetrics());
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
      return TrialStarted{body.getTrial(), body.getFromIteration(), body.getWaits()};
    }
    case schema::Record::TRIAL_BEGUN: return TrialBegun{in.getTrialBegun().getTrial()};
    case schema::Record::TRIAL_DECIDED: return read(in.getTrialDecided());
    case schema::Record::TRIAL_REPORTED: return read(in.getTrialReported());
    case schema::Record::TRIAL_CHECKPOINTED: {
      auto body = in.getTrialCheckpointed();
      return TrialCheckpointed{body.getTrial(), body.getIteration(), text(body.getCheckpoint()), body.getCheckpointBytes()};
    }
    case schema::Record::TRIAL_FINISHED: return TrialFinished{in.getTrialFinished().getTrial()};
    case schema::Record::TRIAL_FAILED: {
      auto body = in.getTrialFailed();
      const std::optional<bool> again = body.getRetries() == 0 ? std::nullopt : std::optional(body.getRetries() == 1);
      return TrialFailed{body.getTrial(), text(body.getError()), body.getForGood(), again};
    }
    case schema::Record::SCHEDULER_IDLE: return SchedulerIdle{};
    case schema::Record::TRIAL_TIMED_OUT: {
      auto body = in.getTrialTimedOut();
      return TrialTimedOut{body.getTrial(), text(body.getReason())};
    }
    case schema::Record::EXPERIMENT_STOPPED: return ExperimentStopped{text(in.getExperimentStopped().getReason())};
    case schema::Record::EXPERIMENT_SNAPSHOT: return read(in.getExperimentSnapshot());
    case schema::Record::TRIAL_SNAPSHOT: return read(in.getTrialSnapshot());
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

/// A reader visits each word once. Of so few: a damaged message may else be walked for long; and all of them: a searcher's state may be larger
/// than Cap'n Proto takes by itself (64 MiB).
capnp::ReaderOptions limits(std::size_t words) {
  constexpr std::uint64_t kSpare = 8;
  capnp::ReaderOptions options;
  options.traversalLimitInWords = kSpare * words + 1024;
  options.nestingLimit = 1000;  // a table within a table takes two
  return options;
}

/// Reads a message from bytes of any alignment; what Cap'n Proto throws becomes StorageCorruption.
template <class Struct, class F>
auto parse(std::span<const std::byte> bytes, F&& use) {
  if (bytes.size() % sizeof(capnp::word) != 0) throw StorageCorruption("the experiment's journal: a record that was cut.");
  std::vector<capnp::word> words(bytes.size() / sizeof(capnp::word));
  if (!bytes.empty()) std::memcpy(static_cast<void*>(words.data()), bytes.data(), bytes.size());
  try {
    capnp::FlatArrayMessageReader reader(kj::arrayPtr(words.data(), words.size()), limits(words.size()));
    return use(reader.getRoot<Struct>());
  } catch (const kj::Exception& error) {
    throw StorageCorruption("the experiment's journal: a record that cannot be read: " +
                            std::string(error.getDescription().cStr()));
  }
}

}  // namespace

std::vector<std::byte> encode_event(const Event& event) {
  capnp::word scratch[256] = {};  // most records fit, so that nothing is allocated for them
  capnp::MallocMessageBuilder message(kj::arrayPtr(scratch, 256));
  auto record = message.initRoot<schema::Record>();
  record.setTimeMs(event.time_ms);
  std::visit([&](const auto& body) { write(record, body); }, event.body);
  return flat_bytes(message);
}

Event decode_event(std::span<const std::byte> bytes) {
  return parse<schema::Record>(bytes, [](auto record) { return Event{record.getTimeMs(), read_body(record)}; });
}

std::vector<std::byte> encode_history(std::uint64_t first, std::span<const std::vector<std::byte>> records) {
  capnp::MallocMessageBuilder message;
  auto chunk = message.initRoot<schema::HistoryChunk>();
  chunk.setFirst(first);
  auto list = chunk.initRecords(static_cast<unsigned>(records.size()));
  for (unsigned i = 0; i < list.size(); ++i)
    list.set(i, capnp::Data::Reader(reinterpret_cast<const kj::byte*>(records[i].data()), records[i].size()));
  kj::VectorOutputStream out;
  capnp::writePackedMessage(out, message);
  const auto bytes = out.getArray().asBytes();
  std::vector<std::byte> packed(bytes.size());
  std::memcpy(packed.data(), bytes.begin(), bytes.size());
  return packed;
}

void decode_history(std::span<const std::byte> chunk, const HistoryVisitor& visit) {
  std::vector<std::vector<std::byte>> records;
  std::uint64_t number = 0;
  try {
    kj::ArrayInputStream in(kj::arrayPtr(reinterpret_cast<const kj::byte*>(chunk.data()), chunk.size()));
    capnp::PackedMessageReader message(in, limits(16 * chunk.size()));  // two bytes are 256 words of zeros at most
    auto read = message.getRoot<schema::HistoryChunk>();
    number = read.getFirst();
    for (auto record : read.getRecords()) {
      const auto bytes = std::as_bytes(std::span(record.begin(), record.size()));
      records.emplace_back(bytes.begin(), bytes.end());
    }
  } catch (const kj::Exception& error) {
    throw StorageCorruption("the experiment's history: a record that cannot be read: " + std::string(error.getDescription().cStr()));
  }
  for (const auto& record : records) visit(number++, record);
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
