#pragma once
// WithoutParent: what this thread submits while one lives belongs to nobody: a cancel of the work that runs here does not reach it.
//
//   detail::WithoutParent apart;
//   queue.call(std::move(record), nullptr);

namespace manta::detail {

class WithoutParent {
 public:
  WithoutParent() noexcept;
  ~WithoutParent();
  WithoutParent(const WithoutParent&) = delete;
  WithoutParent& operator=(const WithoutParent&) = delete;

 private:
  bool before_;
};

}  // namespace manta::detail
