#pragma once
// An owner on CAF's test coordinator, in a worker process that submits; nothing of it but the owner runs.
#include <caf/scheduler/test_coordinator.hpp>

#include "runtime/actors/owner.hpp"
#include "runtime/context.hpp"
#include "tests/runtime/actors/quiet_process.hpp"

namespace manta::detail {

inline int twice(int x) { return 2 * x; }
inline int count(const std::vector<int>& numbers) { return static_cast<int>(numbers.size()); }

/// What a store says it has.
class Named final : public StoredObject {
 public:
  std::uint64_t id() const noexcept override { return 17; }
  std::uint64_t size() const noexcept override { return 1 << 20; }
  Result<Buffer> open(Deadline) override { return ErrorInfo{.code = ErrorCode::kObjectLost}; }
};
struct Heir {
  explicit Heir(const std::vector<int>& numbers) : count(static_cast<int>(numbers.size())) {}
  int count;
};
struct Clerk {
  int one() { return 1; }
  inline int count(const std::vector<int>& numbers) { return static_cast<int>(numbers.size()); }
};

struct TestConfig : caf::actor_system_config {
  TestConfig() { set("scheduler.policy", caf::atom("testing")); }
};

inline constexpr ProcessId kSelf = 3;     // a worker process that submits
inline constexpr ProcessId kWorker = 5;   // where its work goes
inline constexpr ProcessId kOther = 7;    // an owner of actors
inline constexpr ActorId kTheirs{(std::uint64_t{kOther} << 40) + 1};

class Fixture {
 public:
  Fixture() {
    environment.router = &router;
    environment.store = &store;
    environment.references = references.get();
    environment.inline_bytes = 100'000;
    Resources total;
    total.set("CPU", Amount(8));
    owner = std::make_shared<Owner>(system, ids, router, host, store, lane, bin, *references, *lineage,
                                    Owner::Options{.portable = true, .total = total, .inline_bytes = 100'000});
  }
  ~Fixture() {
    owner->end();
    owner.reset();
    coordinator.run();
  }
  void run() { coordinator.run(); }

  std::shared_ptr<Cell> submit(TaskOptions options = {}) {
    auto record = make_record<FunctionRecord<&twice>>(4);
    auto cell = record->result;
    owner->submit(std::move(record), std::make_shared<const TaskOptions>(std::move(options)), false);
    return cell;
  }
  std::shared_ptr<Cell> call(ActorId actor) {
    auto record = make_record<MethodRecord<Clerk, &Clerk::one>>();
    auto cell = record->result;
    owner->call(actor, std::move(record), nullptr, true);
    return cell;
  }
  std::shared_ptr<ActorLink> spawn(ActorId id, ActorOptions options = {}) {
    return owner->spawn(make_record<ConstructorRecord<Clerk>>(), std::make_shared<const ActorOptions>(std::move(options)), id);
  }
  /// That is in a store, and of a process that may end: `references->process_gone(kOther)`. Then it cannot be sent any more.
  std::shared_ptr<Cell> borrowed_argument() {
    borrowed.references = std::make_shared<wire::ValueReferences>();
    borrowed.references->list.push_back({.id = kTheirs.value + 1, .kind = static_cast<std::uint8_t>(ReferenceKind::kObject)});
    references->incoming(borrowed, kOther);
    references->deliver(kOther, wire::ObjectSettled{.outcome = {.id = {kTheirs.value + 1}, .result = wire::Value{.stored = {18}, .stored_size = 1 << 20}}});
    return std::static_pointer_cast<Cell>(ReferenceKeeper::of(borrowed)->at(0).target);
  }
  /// That is in a store, which has no room for it once more, and in this process.
  std::shared_ptr<Cell> stored_argument() {
    auto argument = std::make_shared<Cell>(type_ops<std::vector<int>>());
    argument->set_value(std::make_shared<const std::vector<int>>(100'000));
    argument->encoded(1000, [](std::uint64_t, const auto&) -> Result<std::shared_ptr<StoredObject>> {
      return std::shared_ptr<StoredObject>(std::make_shared<Named>());
    }).value();
    return argument;
  }
  void grant(core::Purpose purpose, std::uint64_t lease) {
    owner->deliver(wire::LeaseGranted{.purpose = purpose, .lease = {.id = {lease}, .cpus = Amount(1)}, .worker = kWorker});
  }

  TestConfig config;
  caf::actor_system system{config};
  caf::scheduler::test_coordinator& coordinator = dynamic_cast<caf::scheduler::test_coordinator&>(system.scheduler());
  IdSource ids{kSelf};
  WritingRouter router{kSelf};
  std::shared_ptr<EmptyStore> shared_store = std::make_shared<EmptyStore>(kSelf);  // objects keep it
  EmptyStore& store = *shared_store;
  Lane lane{1};
  Bin bin{lane};
  std::shared_ptr<ReferenceKeeper> references = std::make_shared<ReferenceKeeper>(kSelf, ids, router, store, lane, 100'000);
  std::shared_ptr<Lineage> lineage = std::make_shared<Lineage>(0, Lineage::Hooks{});
  HostEnvironment environment{};
  WorkerHost host{system, environment};
  wire::Value borrowed{};
  std::shared_ptr<Owner> owner;
};

}  // namespace manta::detail
