#include "tune/searchers/variants.hpp"

#include <algorithm>

#include "runtime/errors.hpp"

namespace manta::tune {

namespace {

std::string fixed(double value) {
  char text[64];
  std::snprintf(text, sizeof text, "%.4f", value);
  return text;
}

}  // namespace

VariantSearcher::VariantSearcher(Space space, std::uint64_t num_samples, std::uint64_t seed)
    : num_samples_(num_samples), seed_(seed) {
  collect(space, "");
  std::vector<Leaf*> axes;
  for (Leaf& leaf : leaves_)
    if (leaf.domain.kind() == Domain::Kind::kGrid) axes.push_back(&leaf);
  std::sort(axes.begin(), axes.end(), [](const Leaf* a, const Leaf* b) { return a->path < b->path; });
  for (Leaf* axis : axes) {
    axis->grid_stride = grid_size_;
    grid_size_ *= axis->domain.values().size();
  }
}

void VariantSearcher::collect(const Space& space, const std::string& prefix) {
  for (const Parameter& parameter : space.parameters()) {
    if (parameter.domain.kind() == Domain::Kind::kNested)
      collect(parameter.domain.nested(), prefix + parameter.name + "/");
    else
      leaves_.push_back({prefix + parameter.name, parameter.domain});
  }
}

SearcherSpec random_search() {
  return {"random", "random", [](const SearcherContext& context) {
            return std::make_unique<VariantSearcher>(context.space, context.num_samples, context.seed);
          }};
}

Suggestion VariantSearcher::suggest(TrialIndex index) {
  if (index >= num_samples_ * grid_size_) return {};
  Config config = resolve(index);
  std::string text = tag(config);
  return {Suggestion::Kind::kConfig, std::move(config), std::move(text)};
}

Config VariantSearcher::resolve(TrialIndex index) const {
  Config config;
  for (const Leaf& leaf : leaves_) {
    const auto& values = leaf.domain.values();
    Random random = Random::stream(seed_, index, leaf.path);
    if (leaf.domain.kind() == Domain::Kind::kGrid)
      config.set(leaf.path, values[index % grid_size_ / leaf.grid_stride % values.size()]);
    else if (leaf.domain.kind() == Domain::Kind::kSampleFrom)
      config.set(leaf.path, Value{});
    else
      config.set(leaf.path, leaf.domain.sample(random, config));
  }
  run_functions(index, config);
  return config;
}

void VariantSearcher::run_functions(TrialIndex index, Config& config) const {
  std::vector<const Leaf*> waiting;
  for (const Leaf& leaf : leaves_)
    if (leaf.domain.kind() == Domain::Kind::kSampleFrom) waiting.push_back(&leaf);
  std::string reason;
  while (!waiting.empty()) {
    const std::size_t before = waiting.size();
    std::erase_if(waiting, [&](const Leaf* leaf) {
      Random random = Random::stream(seed_, index, leaf->path);
      try {
        config.set(leaf->path, leaf->domain.sample(random, config));
        return true;
      } catch (const NotFound& not_yet) {
        reason = "'" + leaf->path + "': " + not_yet.info().message;
        return false;
      }
    });
    if (waiting.size() == before)
      throw InvalidArgument("search space: sample_from functions wait for each other, or for a parameter that is not there. " +
                            reason);
  }
}

std::string VariantSearcher::tag(const Config& config) const {
  std::string text;
  for (const Leaf& leaf : leaves_) {
    if (leaf.domain.kind() == Domain::Kind::kConstant) continue;
    const Value& value = *config.find(leaf.path);
    const auto* number = value.as<double>();
    const std::string name = leaf.path.substr(leaf.path.rfind('/') + 1);
    text += (text.empty() ? "" : ",") + name + "=" + (number ? fixed(*number) : value.to_text());
  }
  return text;
}

}  // namespace manta::tune
