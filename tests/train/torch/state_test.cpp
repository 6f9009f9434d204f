// Checkpoints and the tensor codec.
#include <ATen/Parallel.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/equal.h>
#include <ATen/ops/from_blob.h>
#include <ATen/ops/randn.h>
#include <torch/nn/functional/loss.h>
#include <torch/optim/adam.h>
#include <torch/utils.h>

#include <cstdlib>
#include <fstream>

#include "runtime/errors.hpp"
#include "train/checkpoint.hpp"
#include "train/models/conv_net.hpp"
#include "train/torch/codec.hpp"

#define DOCTEST_CONFIG_IMPLEMENT_WITH_MAIN
#include "tests/train/doctest_with_torch.hpp"

namespace fs = std::filesystem;
using namespace manta;

namespace {

class TempDir {
 public:
  TempDir() {
    std::string pattern = (fs::temp_directory_path() / "manta-state-XXXXXX").string();
    path_ = mkdtemp(pattern.data());
  }
  ~TempDir() { fs::remove_all(path_); }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

std::vector<char> read(const fs::path& file) {
  std::ifstream in(file, std::ios::binary);
  return {std::istreambuf_iterator<char>(in), std::istreambuf_iterator<char>()};
}

void write(const fs::path& file, const std::vector<char>& bytes) {
  std::ofstream(file, std::ios::binary).write(bytes.data(), static_cast<std::streamsize>(bytes.size()));
}

/// A net with its optimiser, trained on random numbers: what a checkpoint must bring back exactly.
struct Run {
  train::ConvNet net{train::ConvNetOptions{.conv1 = 2, .conv2 = 3, .batch_norm = true, .l1 = 4, .l2 = 4}};
  torch::optim::Adam optimizer{net->parameters(), torch::optim::AdamOptions(0.01)};

  void step() {
    optimizer.zero_grad();
    net->forward(at::randn({8, 1, 28, 28})).square().mean().backward();
    optimizer.step();
  }
  bool same_as(const Run& other) const {
    bool same = true;
    for (std::size_t i = 0; i < net->parameters().size(); ++i) {
      same = same && at::equal(net->parameters()[i], other.net->parameters()[i]);
    }
    for (std::size_t i = 0; i < net->buffers().size(); ++i) {
      same = same && at::equal(net->buffers()[i], other.net->buffers()[i]);
    }
    return same;
  }
};

}  // namespace

TEST_SUITE("train/checkpoint") {
  TEST_CASE("going on from a checkpoint gives bit for bit what never stopping gives") {
    const TempDir dir;
    torch::manual_seed(5);
    Run unbroken;
    for (int i = 0; i < 3; ++i) unbroken.step();
    train::save_checkpoint(dir.path() / "c", *unbroken.net, &unbroken.optimizer, {.epoch = 3, .metrics = {{"loss", 0.25}}});
    for (int i = 0; i < 3; ++i) unbroken.step();

    Run resumed;
    resumed.step();  // leaves state behind that the checkpoint must replace
    const auto info = train::load_checkpoint(dir.path() / "c", *resumed.net, &resumed.optimizer);
    CHECK(info.epoch == 3);
    CHECK(info.metrics.at("loss") == 0.25);
    for (int i = 0; i < 3; ++i) resumed.step();
    CHECK(resumed.same_as(unbroken));
  }

  TEST_CASE("nothing but the checkpoint file is left in the directory, and a second save replaces the first") {
    const TempDir dir;
    Run run;
    run.step();
    train::save_checkpoint(dir.path(), *run.net, &run.optimizer, {.epoch = 1});
    train::save_checkpoint(dir.path(), *run.net, nullptr, {.epoch = 2});
    CHECK(std::distance(fs::directory_iterator(dir.path()), fs::directory_iterator()) == 1);
    CHECK(train::load_checkpoint(dir.path(), *run.net).epoch == 2);
    CHECK_THROWS_AS(train::load_checkpoint(dir.path(), *run.net, &run.optimizer), InvalidArgument);
  }

  TEST_CASE("a missing, cut or foreign checkpoint is refused and leaves the model as it was") {
    const TempDir dir;
    Run run;
    run.step();
    CHECK_THROWS_AS(train::load_checkpoint(dir.path(), *run.net), NotFound);
    train::save_checkpoint(dir.path(), *run.net, &run.optimizer, {});
    train::ConvNet other(train::ConvNetOptions{.conv1 = 2, .conv2 = 3, .l1 = 4, .l2 = 4});
    const torch::Tensor before = other->parameters()[0].clone();
    CHECK_THROWS_AS(train::load_checkpoint(dir.path(), *other), InvalidArgument);
    CHECK(at::equal(other->parameters()[0], before));

    const auto whole = read(dir.path() / train::kCheckpointFile);
    for (std::size_t i = 0; i < 20; ++i) {
      write(dir.path() / train::kCheckpointFile,
            std::vector<char>(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(whole.size() * i / 20)));
      CHECK_THROWS_AS(train::load_checkpoint(dir.path(), *run.net), StorageCorruption);
    }
  }

  TEST_CASE("a flipped bit in a checkpoint is refused or changes nothing") {
    const TempDir dir;
    Run run;
    run.step();
    train::save_checkpoint(dir.path(), *run.net, &run.optimizer, {.epoch = 4});
    const auto whole = read(dir.path() / train::kCheckpointFile);
    int refused = 0;
    for (std::size_t at = 0; at < whole.size(); at += at + 3000 < whole.size() ? 97 : 5) {  // the directory is at the end
      auto bad = whole;
      bad[at] = static_cast<char>(bad[at] ^ 0x10);
      write(dir.path() / train::kCheckpointFile, bad);
      Run loaded;
      try {
        const auto info = train::load_checkpoint(dir.path(), *loaded.net, &loaded.optimizer);
        CAPTURE(at);
        CHECK(info.epoch == 4);
        CHECK(loaded.same_as(run));
      } catch (const Error&) {
        ++refused;
      }
    }
    CHECK(refused > 0);
  }

  TEST_CASE("a directory that cannot be written gives IoError") {
    Run run;
    CHECK_THROWS_AS(train::save_checkpoint("/proc/no/such/place", *run.net, nullptr, {}), IoError);
  }
}

TEST_SUITE("train/codec") {
  TEST_CASE("tensors of every type and shape arrive bit for bit") {
    for (const auto type : {at::kFloat, at::kDouble, at::kHalf, at::kBFloat16, at::kLong, at::kByte, at::kBool,
                            at::kComplexFloat}) {
      for (const auto& shape : std::vector<std::vector<std::int64_t>>{{}, {0}, {3, 0, 2}, {1}, {5, 7}, {2, 3, 4}}) {
        const at::Tensor sent = (at::randn(shape) * 100).to(type);
        const at::Tensor got = decode<at::Tensor>(encode(sent));
        CHECK((got.scalar_type() == type));
        CHECK(got.sizes() == sent.sizes());
        CHECK(at::equal(got, sent));
      }
    }
  }

  TEST_CASE("NaN payloads, infinities and negative zero keep their bits") {
    std::vector<std::uint32_t> bits{0x7fc00001, 0xffc12345, 0x7f800000, 0xff800000, 0x80000000, 0x00000001};
    const at::Tensor sent = at::from_blob(bits.data(), {6}, at::kFloat);
    const at::Tensor got = decode<at::Tensor>(encode(sent));
    CHECK(std::memcmp(got.const_data_ptr(), bits.data(), 24) == 0);
  }

  TEST_CASE("a view arrives contiguous, an undefined tensor undefined, lists of tensors as they are") {
    const at::Tensor base = at::arange(12, at::kFloat).view({3, 4});
    CHECK(at::equal(decode<at::Tensor>(encode(base.t())), base.t()));
    CHECK(decode<at::Tensor>(encode(base.t())).is_contiguous());
    CHECK(!decode<at::Tensor>(encode(at::Tensor())).defined());
    const std::vector<at::Tensor> list{base, at::Tensor(), base.slice(1, 1, 3)};
    const auto got = decode<std::vector<at::Tensor>>(encode(list));
    CHECK(at::equal(got[2], list[2]));
  }

  TEST_CASE("reading copies nothing and keeps the memory alive") {
    at::Tensor got;
    {
      const Buffer bytes = encode(at::arange(1000, at::kFloat));
      got = decode<at::Tensor>(bytes);
      const auto* data = static_cast<const std::byte*>(got.const_data_ptr());
      CHECK(data >= bytes.data());
      CHECK(data < bytes.data() + bytes.size());
      CHECK(reinterpret_cast<std::uintptr_t>(data) % 64 == 0);
    }
    CHECK(got.sum().item<float>() == 499500.0f);
  }

  TEST_CASE("sizes that do not fit the bytes are refused") {
    const train::TensorParts good = train::take_apart(at::arange(6, at::kFloat));
    for (const std::vector<std::int64_t>& sizes :
         {std::vector<std::int64_t>{7}, {-6}, {6, 0}, {std::int64_t{1} << 40, std::int64_t{1} << 40}}) {
      train::TensorParts bad = good;
      bad.sizes = sizes;
      CHECK_THROWS_AS(train::put_together(bad), ProtocolError);
    }
    train::TensorParts bad = good;
    for (const int type : {-1, 12, 127}) {
      bad.type = static_cast<std::int8_t>(type);
      CHECK_THROWS_AS(train::put_together(bad), ProtocolError);
    }
    CHECK_THROWS_AS(train::take_apart(at::randn({2, 2}).to_sparse()), InvalidArgument);
  }
}
