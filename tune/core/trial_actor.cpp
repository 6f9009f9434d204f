#include "tune/core/trial_actor.hpp"

#include "tune/core/report_desk.hpp"
#include "tune/core/report_slot.hpp"

namespace manta::tune {

TrialReply TrialActor::begin(Context& context, const TrialSpec& spec) {
  session_.reset();
  auto found = ReportSlot::find(spec.ticket);
  if (found.let_go) return {};  // killed before it began: nobody hears this
  std::shared_ptr<ReportLine> line = std::move(found.slot);
  if (!line && !spec.desk.empty()) line = call_desk(spec.desk, spec.ticket);
  SessionRuntime runtime{std::make_shared<Client>(context), context.gpu_ids(), context.num_cpus()};
  session_ = std::make_unique<TrialSession>(spec, body_, std::move(runtime), std::move(line));
  return session_->next(Decision::kContinue);
}

TrialReply TrialActor::next(std::uint8_t decision) { return session_->next(static_cast<Decision>(decision)); }

std::string short_name(std::string_view pretty, std::string_view key) {
  const auto begin = pretty.find(key);
  if (begin == std::string_view::npos) return "trainable";
  std::string_view name = pretty.substr(begin + key.size());
  name = name.substr(0, name.find_first_of(";],"));
  name = name.substr(0, name.find('<'));
  name = name.substr(0, name.find('('));
  const auto colon = name.rfind(':');
  if (colon != std::string_view::npos) name = name.substr(colon + 1);
  while (!name.empty() && (name.front() == '&' || name.front() == ' ')) name.remove_prefix(1);
  return name.empty() ? "trainable" : std::string(name);
}

}  // namespace manta::tune
