#include "tune/core/report_slot.hpp"

#include <random>
#include <unordered_map>

#include "tune/core/report_desk.hpp"

namespace manta::tune {

namespace {

/// Slots of this process by ticket. Tickets begin at a random number, so that one of another process is not among them.
struct OpenSlots {
  std::mutex mutex;
  std::unordered_map<std::uint64_t, std::weak_ptr<ReportSlot>> by_ticket;
  const std::uint64_t first = [] {
    std::random_device device;
    return (std::uint64_t{device() >> 1} << 32) | device();
  }();
  std::uint64_t next = first;
};

OpenSlots& open_slots() {
  static OpenSlots& slots = *new OpenSlots;  // a trial's thread may outlive main
  return slots;
}

}  // namespace

void HostInbox::put(Item item) {
  {
    const std::lock_guard lock(mutex_);
    arrived_.push_back(std::move(item));
    if (arrived_.size() > 1) return;  // whoever waits has been woken
    if (bell_) return bell_->ring();
  }
  changed_.notify_one();
}

void HostInbox::use(std::shared_ptr<const DeskBell> bell) {
  const std::lock_guard lock(mutex_);
  bell_ = std::move(bell);
  if (!arrived_.empty()) bell_->ring();
}

std::vector<HostInbox::Item> HostInbox::take(std::chrono::milliseconds timeout) {
  std::unique_lock lock(mutex_);
  changed_.wait_for(lock, timeout, [&] { return !arrived_.empty(); });
  return std::exchange(arrived_, {});
}

std::shared_ptr<ReportSlot> ReportSlot::open(std::shared_ptr<HostInbox> inbox, TrialIndex trial) {
  OpenSlots& slots = open_slots();
  const std::lock_guard lock(slots.mutex);
  const std::uint64_t ticket = slots.next++;
  std::shared_ptr<ReportSlot> slot(new ReportSlot(std::move(inbox), trial, ticket));
  slots.by_ticket.emplace(ticket, slot);
  return slot;
}

ReportSlot::Found ReportSlot::find(std::uint64_t ticket) {
  OpenSlots& slots = open_slots();
  Found result;  // outlives the lock: if it is the last reference, the destructor takes the lock
  {
    const std::lock_guard lock(slots.mutex);
    if (ticket < slots.first || ticket >= slots.next) return result;
    const auto found = slots.by_ticket.find(ticket);
    if (found != slots.by_ticket.end()) result.slot = found->second.lock();
  }
  result.let_go = !result.slot || result.slot->closed();
  if (result.let_go) result.slot = nullptr;
  return result;
}

ReportSlot::~ReportSlot() {
  OpenSlots& slots = open_slots();
  const std::lock_guard lock(slots.mutex);
  slots.by_ticket.erase(ticket_);
}

std::optional<Decision> ReportSlot::ask(TrialReply reply) {
  if (closed()) return std::nullopt;
  inbox_->put({trial_, ticket_, std::move(reply)});
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [&] { return decision_ || closed(); });
  return std::exchange(decision_, std::nullopt);
}

void ReportSlot::answer(Decision decision) {
  {
    const std::lock_guard lock(mutex_);
    decision_ = decision;
  }
  changed_.notify_one();
}

void ReportSlot::close() {
  {
    const std::lock_guard lock(mutex_);
    closed_ = true;
  }
  changed_.notify_one();
}

}  // namespace manta::tune
