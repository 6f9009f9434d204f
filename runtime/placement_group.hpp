#pragma once
// Placement groups: resources that are taken together, all or none, and held for the tasks and actors that are placed in
// them, until the group is removed.
//
//   auto group = rt.placement_group({.bundles = {{.num_cpus = 1}, {.num_cpus = 2, .num_gpus = 1}}});
//   rt.wait(group, 10s);                                              // or rt.get(rt.ready(group))
//   auto ref = rt.task<train>({.num_gpus = 1, .placement = group.bundle(1)}).remote(data);
//   rt.remove(group);
//
// A group waits in line like everybody else. What is placed in it takes from its bundle and nothing from the machine, may ask
// for no more than the bundle has, and waits until the group is there. GPUs of a bundle keep their ids. A task that a placed
// task submits is placed outside unless it says otherwise.
//
// The runtime owns the group, not the handle: it stays until Client::remove, or until the process that made it ends. Removal
// ends what is in it: what has not begun fails with Cancelled, running tasks too (one in a process of its own is killed; on a
// shared worker the code is told and its result is dropped), actors die as by kill(). Bundles are free again when the last one in them ended.
#include "runtime/engine.hpp"

namespace manta {

/// A handle: a plain value, copied freely, serialisable, so that a task in another process can use it. Thread-safe.
class PlacementGroup {
 public:
  /// Refers to no group; only assignment and bool are allowed.
  PlacementGroup() = default;
  explicit operator bool() const noexcept { return id_.value != 0; }

  /// For `.placement`. Throws InvalidArgument when there is no bundle of that number; they count from 0.
  Placement bundle(std::size_t index) const {
    if (index >= bundle_count())
      throw InvalidArgument(description() + " has no bundle " + std::to_string(index) + ": there are " + std::to_string(bundle_count()) +
                            ", counted from 0");
    return {id_, static_cast<std::int32_t>(index), options_};
  }
  /// For `.placement`: the first bundle with room.
  Placement any() const {
    if (!*this) throw InvalidArgument("placement in an empty PlacementGroup: assign one that placement_group returned");
    return {id_, Placement::kAnyBundle, options_};
  }
  std::size_t bundle_count() const noexcept { return options_ ? options_->bundles.size() : 0; }
  const std::string& name() const noexcept {
    static const std::string& kNone = *new std::string;
    return options_ ? options_->name : kNone;
  }
  std::string description() const { return *this ? detail::describe_group(id_, name()) : "the empty placement group"; }
  bool operator==(const PlacementGroup& other) const noexcept { return id_ == other.id_; }

  template <class Archive>
  void save(Archive& archive) const;
  template <class Archive>
  void load(Archive& archive);

 private:
  friend class Client;
  PlacementGroup(GroupId id, std::shared_ptr<const PlacementGroupOptions> options, std::shared_ptr<detail::Cell> placed)
      : id_(id), options_(std::move(options)), placed_(std::move(placed)) {}

  GroupId id_{};
  std::shared_ptr<const PlacementGroupOptions> options_{};
  std::shared_ptr<detail::Cell> placed_{};  // where the group was made; elsewhere the node is asked
};

template <class Archive>
void PlacementGroup::save(Archive& archive) const {
  archive(id_.value, static_cast<std::uint64_t>(bundle_count()));
  if (!options_) return;
  archive(options_->name, static_cast<std::uint8_t>(options_->strategy));
  for (const auto& bundle : options_->bundles) {
    std::map<std::string, std::int64_t> custom;
    for (const auto& [name, amount] : bundle.resources) custom[name] = amount.raw();
    archive(bundle.num_cpus.raw(), bundle.num_gpus.raw(), bundle.memory_bytes, custom);
  }
}

template <class Archive>
void PlacementGroup::load(Archive& archive) {
  std::uint64_t count = 0;
  archive(id_.value, count);
  placed_.reset();
  options_.reset();
  if ((id_.value != 0) != (count != 0)) throw ProtocolError("a serialised placement group is damaged: it has no bundles, or no number");
  if (!count) return;
  auto options = std::make_shared<PlacementGroupOptions>();
  std::uint8_t strategy = 0;
  archive(options->name, strategy);
  if (strategy > static_cast<std::uint8_t>(PlacementStrategy::kStrictSpread))
    throw ProtocolError("a serialised placement group is damaged: its strategy is one that this build does not know");
  options->strategy = static_cast<PlacementStrategy>(strategy);
  for (; count; --count) {
    std::int64_t cpus = 0, gpus = 0;
    Bundle bundle;
    std::map<std::string, std::int64_t> custom;
    archive(cpus, gpus, bundle.memory_bytes, custom);
    bundle.num_cpus = Amount::from_raw(cpus), bundle.num_gpus = Amount::from_raw(gpus);
    for (const auto& [name, raw] : custom) bundle.resources.set(name, Amount::from_raw(raw));
    options->bundles.push_back(std::move(bundle));
  }
  options_ = std::move(options);
}

}  // namespace manta
