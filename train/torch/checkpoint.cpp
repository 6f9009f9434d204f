#include "train/checkpoint.hpp"

#include <ATen/CPUGeneratorImpl.h>
#include <ATen/ops/from_blob.h>
#include <fcntl.h>
#include <torch/nn/module.h>
#include <torch/optim/optimizer.h>
#include <torch/serialize.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <sstream>

#include "runtime/errors.hpp"
#include "train/torch/zip_check.hpp"

namespace manta::train {
namespace {

namespace fs = std::filesystem;
using Dict = c10::Dict<std::string, torch::Tensor>;
using AnyDict = c10::impl::GenericDict;

AnyDict any_dict() { return AnyDict(c10::StringType::get(), c10::AnyType::get()); }

/// Every parameter and buffer by its name, sharing memory with the module.
std::vector<std::pair<std::string, torch::Tensor>> state_of(const torch::nn::Module& model) {
  std::vector<std::pair<std::string, torch::Tensor>> state;
  for (const auto& item : model.named_parameters()) state.emplace_back(item.key(), item.value());
  for (const auto& item : model.named_buffers()) state.emplace_back(item.key(), item.value());
  return state;
}

c10::IValue model_dict(const torch::nn::Module& model) {
  Dict dict;
  for (const auto& [name, tensor] : state_of(model)) dict.insert(name, tensor.detach().cpu());
  return dict;
}

torch::Tensor bytes_tensor(const std::string& bytes) {
  return at::from_blob(const_cast<char*>(bytes.data()), {static_cast<std::int64_t>(bytes.size())}, torch::kByte).clone();
}

torch::Tensor optimizer_bytes(const torch::optim::Optimizer& optimizer) {
  torch::serialize::OutputArchive archive;
  optimizer.save(archive);
  std::ostringstream out;
  archive.save_to(out);
  return bytes_tensor(out.str());
}

torch::Tensor generator_state() {
  auto generator = at::detail::getDefaultCPUGenerator();
  const std::lock_guard lock(generator.mutex());
  return generator.get_state();
}

std::vector<char> encode(const torch::nn::Module& model, const torch::optim::Optimizer* optimizer,
                         const CheckpointInfo& info) {
  AnyDict root = any_dict();
  c10::Dict<std::string, double> metrics;
  for (const auto& [name, value] : info.metrics) metrics.insert(name, value);
  root.insert("model", model_dict(model));
  root.insert("epoch", info.epoch);
  root.insert("metrics", metrics);
  root.insert("generator", generator_state());
  if (optimizer) root.insert("optimizer", optimizer_bytes(*optimizer));
  return torch::pickle_save(root);
}

[[noreturn]] void fail_io(const std::string& what, const fs::path& file) {
  throw IoError("cannot " + what + " " + file.string() + ": " + std::strerror(errno));
}

class OwnedFd {
 public:
  explicit OwnedFd(int fd) : fd_(fd) {}
  ~OwnedFd() {
    if (fd_ >= 0) close(fd_);
  }
  OwnedFd(const OwnedFd&) = delete;
  OwnedFd& operator=(const OwnedFd&) = delete;
  int get() const { return fd_; }

 private:
  int fd_;
};

void write_synced(const fs::path& file, const std::vector<char>& bytes) {
  const OwnedFd fd(open(file.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644));
  if (fd.get() < 0) fail_io("create", file);
  for (std::size_t at = 0; at < bytes.size();) {
    const ssize_t n = write(fd.get(), bytes.data() + at, bytes.size() - at);
    if (n < 0 && errno != EINTR) fail_io("write", file);
    if (n > 0) at += static_cast<std::size_t>(n);
  }
  if (fsync(fd.get()) != 0) fail_io("sync", file);
}

void write_whole(const fs::path& file, const std::vector<char>& bytes) {
  const fs::path fresh = file.string() + ".tmp-" + std::to_string(getpid());
  try {
    write_synced(fresh, bytes);
    if (rename(fresh.c_str(), file.c_str()) != 0) fail_io("rename to", file);
  } catch (...) {
    unlink(fresh.c_str());
    throw;
  }
  const OwnedFd dir(open(file.parent_path().c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (dir.get() < 0 || fsync(dir.get()) != 0) fail_io("sync", file.parent_path());
}

[[noreturn]] void throw_damaged(const fs::path& file, const std::string& what) {
  throw StorageCorruption(file.string() + " is damaged: " + what.substr(0, 200) + "; use another checkpoint");
}

AnyDict decode(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  if (!in) throw NotFound("there is no checkpoint " + file.string());
  const std::vector<char> bytes((std::istreambuf_iterator<char>(in)), std::istreambuf_iterator<char>());
  const std::string damage = detail::zip_damage(bytes);
  if (!damage.empty()) throw_damaged(file, damage);
  try {
    return torch::pickle_load(bytes).toGenericDict();
  } catch (const std::exception& e) {
    throw_damaged(file, e.what());
  }
}

/// Every saved tensor beside the module's of the same name and shape.
std::vector<std::pair<torch::Tensor, torch::Tensor>> match(const torch::nn::Module& model, const AnyDict& saved,
                                                           const fs::path& file) {
  std::vector<std::pair<torch::Tensor, torch::Tensor>> pairs;
  const auto state = state_of(model);
  for (const auto& [name, tensor] : state) {
    if (!saved.contains(name) || saved.at(name).toTensor().sizes() != tensor.sizes()) {
      throw InvalidArgument(file.string() + " was saved from another model: " + name +
                            (saved.contains(name) ? " has another shape" : " is missing"));
    }
    pairs.emplace_back(tensor, saved.at(name).toTensor());
  }
  if (saved.size() != state.size()) {
    throw InvalidArgument(file.string() + " was saved from another model: it has tensors that this model lacks");
  }
  return pairs;
}

void restore_optimizer(const c10::IValue& saved, torch::optim::Optimizer& optimizer) {
  const torch::Tensor bytes = saved.toTensor().contiguous();
  torch::serialize::InputArchive archive;
  archive.load_from(static_cast<const char*>(bytes.const_data_ptr()), static_cast<std::size_t>(bytes.numel()));
  optimizer.load(archive);
}

void restore_generator(const c10::IValue& saved) {
  auto generator = at::detail::getDefaultCPUGenerator();
  const std::lock_guard lock(generator.mutex());
  generator.set_state(saved.toTensor());
}

CheckpointInfo info_of(const AnyDict& root) {
  CheckpointInfo info{.epoch = root.at("epoch").toInt()};
  for (const auto& item : root.at("metrics").toGenericDict()) {
    info.metrics[item.key().toStringRef()] = item.value().toDouble();
  }
  return info;
}

}  // namespace

void save_checkpoint(const fs::path& dir, const torch::nn::Module& model, const torch::optim::Optimizer* optimizer,
                     const CheckpointInfo& info) {
  std::error_code code;
  fs::create_directories(dir, code);
  if (code) throw IoError("cannot make the directory " + dir.string() + ": " + code.message());
  write_whole(dir / kCheckpointFile, encode(model, optimizer, info));
}

CheckpointInfo load_checkpoint(const fs::path& dir, torch::nn::Module& model, torch::optim::Optimizer* optimizer) {
  const fs::path file = dir / kCheckpointFile;
  const AnyDict root = decode(file);
  try {
    const CheckpointInfo info = info_of(root);
    const auto pairs = match(model, root.at("model").toGenericDict(), file);
    if (optimizer && !root.contains("optimizer")) {
      throw InvalidArgument(file.string() + " has no optimiser state; load it without an optimiser");
    }
    const torch::NoGradGuard no_grad;
    for (const auto& [target, source] : pairs) target.copy_(source);
    if (optimizer) restore_optimizer(root.at("optimizer"), *optimizer);
    if (optimizer) restore_generator(root.at("generator"));
    return info;
  } catch (const Error&) {
    throw;
  } catch (const std::exception& e) {
    throw_damaged(file, e.what());
  }
}

}  // namespace manta::train
