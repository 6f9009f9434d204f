#include "train/data_parallel.hpp"

#include <fmt/format.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>

namespace manta::train::detail {
namespace {

Amount gpus_each(const DataParallelOptions& o, const Resources& total) {
  if (o.gpus_per_worker) return *o.gpus_per_worker;
  return total["GPU"] >= Amount{o.num_workers} ? Amount{1} : Amount{0};
}

void need(const DataParallelOptions& o, const Resources& total, const char* what, Amount each) {
  const double wanted = each.value() * o.num_workers;
  const double there = total[what].value();
  if (wanted <= there + 1e-9) return;
  throw InfeasibleResources(fmt::format("{}: {} workers with {} {} each need {}, there are {}: use fewer workers or give "
                                        "each less",
                                        o.name, o.num_workers, each.value(), what, wanted, there));
}

void check(const DataParallelOptions& o, const Resources& total) {
  if (o.num_workers < 1) throw InvalidArgument(fmt::format("{}: num_workers is {}, must be at least 1", o.name, o.num_workers));
  if (o.timeout.count() <= 0) throw InvalidArgument(o.name + ": timeout must be positive");
  need(o, total, "CPU", o.cpus_per_worker);
  need(o, total, "GPU", gpus_each(o, total));
}

/// True when the error only says that another rank is gone.
bool is_broken_connection(const ErrorInfo& error) {
  for (const ErrorInfo* link = &error; link; link = link->cause.get()) {
    for (const char* mark : {"gloo/transport", "Connection closed by peer", "Connection reset by peer", "NCCL error"}) {
      if (link->message.find(mark) != std::string::npos) return true;
    }
  }
  return false;
}

/// The smaller, the nearer to the cause.
int distance_from_cause(const ErrorInfo& error) {
  if (error.code != ErrorCode::kTaskError) return 0;
  return is_broken_connection(error) ? 2 : 1;
}

}  // namespace

Rendezvous::Rendezvous() : fd_(memfd_create("manta-rendezvous", MFD_CLOEXEC)) {
  if (fd_ < 0) throw IoError(std::string("cannot make a file in memory for the ranks to meet: ") + std::strerror(errno));
}
Rendezvous::~Rendezvous() { close(fd_); }
std::string Rendezvous::path() const { return fmt::format("/proc/{}/fd/{}", getpid(), fd_); }

ActorOptions worker_options(const DataParallelOptions& options, int rank, const Resources& total) {
  check(options, total);
  return {.label = fmt::format("{} rank {}", options.name, rank),
          .num_cpus = options.cpus_per_worker,
          .num_gpus = gpus_each(options, total),
          .isolation = own_process,
          .env = options.env,
          .echo_output = options.echo_output};
}

WorkerContext worker_context(const DataParallelOptions& options, int rank, int attempt, const Resources& total,
                             const std::string& rendezvous) {
  return {.rank = rank,
          .world_size = options.num_workers,
          .num_threads = std::max(1, static_cast<int>(options.cpus_per_worker.value())),
          .use_gpu = gpus_each(options, total) > Amount{0},
          .attempt = attempt,
          .rendezvous = rendezvous,
          .timeout = options.timeout,
          .storage_dir = options.storage_dir.string()};
}

std::size_t root_cause(const std::vector<std::optional<ErrorInfo>>& by_rank) {
  const auto rank_of = [](const std::optional<ErrorInfo>& e) { return e ? distance_from_cause(*e) : 3; };
  const auto nearest = std::min_element(by_rank.begin(), by_rank.end(),
                                        [&](const auto& a, const auto& b) { return rank_of(a) < rank_of(b); });
  return static_cast<std::size_t>(nearest - by_rank.begin());
}

ErrorInfo group_error(const std::string& name, const std::vector<std::optional<ErrorInfo>>& by_rank) {
  const std::size_t rank = root_cause(by_rank);
  const ErrorInfo& cause = *by_rank[rank];
  return {.code = cause.code,
          .message = fmt::format("rank {} of {} failed; the group was stopped", rank, by_rank.size()),
          .where = fmt::format("data-parallel group {}", name),
          .cause = std::make_shared<const ErrorInfo>(cause)};
}

}  // namespace manta::train::detail
