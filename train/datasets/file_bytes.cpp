#include "train/datasets/file_bytes.hpp"

#include <fmt/format.h>
#include <zlib.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace manta::train::detail {
namespace {

constexpr std::size_t kChunk = 1 << 20;
constexpr int kGzipWindow = 15 + 16;

struct InflateEnd {
  void operator()(z_stream* stream) const { inflateEnd(stream); }
};

ErrorInfo io_error(const std::filesystem::path& file, int number) {
  return {.code = ErrorCode::kIoError,
          .message = fmt::format("cannot read {}: {}", file.string(), std::strerror(number))};
}

}  // namespace

ErrorInfo damaged(const std::filesystem::path& file, const std::string& what) {
  return {.code = ErrorCode::kStorageCorruption,
          .message = fmt::format("{} is damaged: {}; put a fresh copy in its place", file.string(), what)};
}

bool is_gzip(const Bytes& bytes) noexcept { return bytes.size() >= 2 && bytes[0] == 0x1f && bytes[1] == 0x8b; }

Result<Bytes> read_file(const std::filesystem::path& file, std::size_t max_bytes, const std::string& advice) {
  std::error_code code;
  if (!std::filesystem::exists(file, code)) {
    return ErrorInfo{.code = ErrorCode::kInvalidArgument,
                     .message = fmt::format("{} does not exist: {}", file.string(), advice)};
  }
  if (!std::filesystem::is_regular_file(file, code)) return damaged(file, "it is not a regular file");
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> in(std::fopen(file.c_str(), "rbe"), &std::fclose);
  if (!in) return io_error(file, errno);
  Bytes bytes;
  for (std::size_t got = kChunk; got == kChunk;) {
    const std::size_t at = bytes.size();
    bytes.resize(at + kChunk);
    got = std::fread(bytes.data() + at, 1, kChunk, in.get());
    bytes.resize(at + got);
    if (bytes.size() > max_bytes) return damaged(file, fmt::format("it is larger than {} bytes", max_bytes));
  }
  if (std::ferror(in.get())) return io_error(file, errno);
  return bytes;
}

Result<Bytes> gunzip(const Bytes& packed, const std::filesystem::path& file, std::size_t max_bytes) {
  z_stream stream{};
  if (inflateInit2(&stream, kGzipWindow) != Z_OK) {
    return ErrorInfo{.code = ErrorCode::kOutOfMemory, .message = "zlib could not be started"};
  }
  const std::unique_ptr<z_stream, InflateEnd> guard(&stream);
  stream.next_in = const_cast<Bytef*>(packed.data());
  stream.avail_in = static_cast<uInt>(packed.size());
  Bytes out;
  int state = Z_OK;
  while (state == Z_OK) {
    const std::size_t at = out.size();
    out.resize(at + kChunk);
    stream.next_out = out.data() + at;
    stream.avail_out = kChunk;
    state = inflate(&stream, Z_NO_FLUSH);
    out.resize(out.size() - stream.avail_out);
    if (out.size() > max_bytes) return damaged(file, fmt::format("it unpacks to more than {} bytes", max_bytes));
  }
  if (state == Z_BUF_ERROR) return damaged(file, fmt::format("it is cut off after {} bytes", packed.size()));
  if (state != Z_STREAM_END) {
    return damaged(file, fmt::format("{} at byte {}", stream.msg ? stream.msg : "bad gzip data", stream.total_in));
  }
  if (stream.avail_in != 0) return damaged(file, fmt::format("{} bytes follow its end", stream.avail_in));
  return out;
}

}  // namespace manta::train::detail
