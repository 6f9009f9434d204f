#include "runtime/process/log_pump.hpp"

#include <fcntl.h>
#include <poll.h>
#include <sys/epoll.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <filesystem>
#include <future>
#include <mutex>
#include <string_view>
#include <system_error>
#include <unordered_map>
#include <vector>

#include "runtime/base/log.hpp"
#include "runtime/base/standard_streams.hpp"

namespace manta {

namespace {

constexpr std::size_t kMaxLineBytes = std::size_t{64} << 10;
constexpr std::size_t kReadBytes = std::size_t{64} << 10;
constexpr int kReadsPerEvent = 16;
constexpr std::chrono::milliseconds kGrace{1000};

/// Writes everything, waiting where a non-blocking terminal is full. An errno value or 0.
int write_all(int fd, std::string_view text) {
  while (!text.empty()) {
    const ssize_t written = ::write(fd, text.data(), text.size());
    if (written >= 0) {
      text.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {
      pollfd poll{fd, POLLOUT, 0};
      ::poll(&poll, 1, -1);
    } else if (errno != EINTR) {
      return errno;
    }
  }
  return 0;
}

/// A file that is opened for appending at the first byte; a failure is said once.
class LogFile {
 public:
  explicit LogFile(std::string path) : path_(std::move(path)) {}

  void write(std::string_view text) {
    if (path_.empty()) return;
    if (!fd_) open();
    const int error = fd_ ? write_all(fd_.get(), text) : errno;
    if (error == 0) return;
    log(LogLevel::kWarning, "cannot write the log file " + path_ + ": " + std::generic_category().message(error));
    path_.clear();
  }

 private:
  void open() {
    std::error_code ignored;  // open says it better
    std::filesystem::create_directories(std::filesystem::path(path_).parent_path(), ignored);
    fd_.reset(::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666));
  }
  std::string path_;
  OwnedFd fd_;
};

/// Cuts one pipe's bytes into lines with a prefix.
class LineWriter {
 public:
  LineWriter(int fd, std::string prefix) : fd_(fd), prefix_(std::move(prefix)), line_(prefix_) {}

  void write(std::string_view text) {
    while (!text.empty()) {
      if (std::exchange(cut_, false) && text.front() == '\n') {  // of the line whose last piece has been put
        text.remove_prefix(1);
        continue;
      }
      const std::size_t room = prefix_.size() + kMaxLineBytes - line_.size();
      const std::size_t end = text.substr(0, room).find('\n');
      const bool whole = end != std::string_view::npos;
      const std::size_t taken = whole ? end : std::min(room, text.size());
      line_.append(text.substr(0, taken));
      text.remove_prefix(whole ? taken + 1 : taken);
      cut_ = !whole && taken == room;
      if (whole || cut_) put_line();
    }
  }
  void finish() {
    if (line_.size() > prefix_.size()) put_line();
  }

 private:
  void put_line() {
    line_ += '\n';
    const bool closed = fd_ >= 0 && fd_ <= STDERR_FILENO && !is_standard_stream(fd_);
    if (fd_ >= 0 && !closed && write_all(fd_, line_) != 0) fd_ = -1;  // nobody reads the terminal any more; the file goes on
    line_.resize(prefix_.size());
  }
  int fd_;
  const std::string prefix_;
  std::string line_;
  bool cut_ = false;  // a piece of a line has just been put that was too long
};

struct Stream {
  OwnedFd fd;
  LineWriter lines;
  Reactor::Token token = 0;
};

struct Source {
  Source(LogSource&& source, const LogPumpOptions& options)
      : prefix("(" + source.name + " pid=" + std::to_string(source.pid) + ") "),
        file(std::move(source.file)),
        streams{Stream{std::move(source.out), LineWriter(source.echo ? options.out_fd : -1, prefix)},
                Stream{std::move(source.err), LineWriter(source.echo ? options.err_fd : -1, prefix)}},
        on_closed(std::move(source.on_closed)) {}

  const std::string prefix;
  LogFile file;
  std::array<Stream, 2> streams;  // used by the reactor's thread only, like the rest
  std::function<void()> on_closed;
};

}  // namespace

struct LogPump::Shared : std::enable_shared_from_this<Shared> {
  Shared(Reactor& r, LogPumpOptions o) : reactor(r), options(o) {}

  void begin(const std::shared_ptr<Source>& source, Id id, std::size_t which);
  void on_readable(Source& source, Id id, Stream& stream);
  bool read_some(Source& source, Stream& stream);
  void read_last(Source& source, Id id, Stream& stream);
  void close(Source& source, Id id, Stream& stream);
  void give_up(Id id);
  void drop_all();
  std::shared_ptr<Source> find(Id id);

  Reactor& reactor;
  const LogPumpOptions options;
  std::mutex mutex;  // guards what follows
  std::unordered_map<Id, std::shared_ptr<Source>> sources;
  Id next_id = 1;
};

LogPump::LogPump(Reactor& reactor, LogPumpOptions options) : shared_(std::make_shared<Shared>(reactor, options)) {}

LogPump::~LogPump() {
  std::promise<void> done;
  const auto drop = [this, &done] {
    shared_->drop_all();
    done.set_value();
  };
  if (shared_->reactor.on_reactor_thread() || !shared_->reactor.post(drop)) drop();
  done.get_future().wait();
}

Result<LogPump::Id> LogPump::add(LogSource from) {
  for (const OwnedFd* fd : {&from.out, &from.err}) set_nonblocking(fd->get());
  auto source = std::make_shared<Source>(std::move(from), shared_->options);
  Id id = 0;
  {
    std::lock_guard lock(shared_->mutex);
    id = shared_->next_id++;
    shared_->sources.emplace(id, source);
  }
  const bool posted = shared_->reactor.post([shared = shared_, source, id] {
    for (std::size_t which : {0, 1}) shared->begin(source, id, which);
  });
  if (!posted) return ErrorInfo{.code = ErrorCode::kRuntimeStopped, .message = "the log reactor has been stopped"};
  return id;
}

void LogPump::finish(Id id) {
  shared_->reactor.run_after(kGrace, [shared = shared_, id] { shared->give_up(id); });
}

void LogPump::finish_all() {
  shared_->reactor.post([shared = shared_] {
    std::vector<Id> ids;
    {
      std::lock_guard lock(shared->mutex);
      for (const auto& [id, source] : shared->sources) ids.push_back(id);
    }
    for (const Id id : ids) shared->give_up(id);
  });
}

void LogPump::Shared::begin(const std::shared_ptr<Source>& source, Id id, std::size_t which) {
  Stream& stream = source->streams[which];
  if (!find(id)) return;
  auto token = reactor.add(stream.fd.get(), EPOLLIN, [self = shared_from_this(), source, id, which](std::uint32_t) {
    self->on_readable(*source, id, source->streams[which]);
  });
  if (token) {
    stream.token = *token;
  } else if (token.error().code == ErrorCode::kRuntimeStopped) {  // this thread was busy until then
    read_last(*source, id, stream);
  } else {
    log(LogLevel::kWarning, source->prefix + "its output is lost: " + token.error().message);
    close(*source, id, stream);
  }
}

void LogPump::Shared::on_readable(Source& source, Id id, Stream& stream) {
  for (int i = 0; i < kReadsPerEvent; ++i) {
    if (read_some(source, stream)) continue;
    if (errno != EAGAIN) close(source, id, stream);
    return;
  }
}

/// False at the end of the stream or when nothing is there now; errno tells which.
bool LogPump::Shared::read_some(Source& source, Stream& stream) {
  std::array<char, kReadBytes> buffer;
  errno = 0;
  const ssize_t count = ::read(stream.fd.get(), buffer.data(), buffer.size());
  if (count <= 0) return count < 0 && errno == EINTR;
  const std::string_view text(buffer.data(), static_cast<std::size_t>(count));
  source.file.write(text);
  stream.lines.write(text);
  return true;
}

void LogPump::Shared::close(Source& source, Id id, Stream& stream) {
  reactor.remove(stream.token);
  stream.lines.finish();
  stream.fd.reset();
  if (source.streams[0].fd || source.streams[1].fd) return;
  {
    std::lock_guard lock(mutex);
    if (sources.erase(id) == 0) return;
  }
  if (source.on_closed) source.on_closed();
}

void LogPump::Shared::give_up(Id id) {
  const auto source = find(id);
  if (!source) return;
  for (Stream& stream : source->streams)
    if (stream.fd) read_last(*source, id, stream);
}

/// What is there now.
void LogPump::Shared::read_last(Source& source, Id id, Stream& stream) {
  for (int i = 0; i < kReadsPerEvent && read_some(source, stream); ++i) {
  }
  close(source, id, stream);
}

void LogPump::Shared::drop_all() {
  decltype(sources) dropped;
  {
    std::lock_guard lock(mutex);
    dropped.swap(sources);
  }
  for (auto& [id, source] : dropped)
    for (Stream& stream : source->streams) reactor.remove(stream.token);
}

std::shared_ptr<Source> LogPump::Shared::find(Id id) {
  std::lock_guard lock(mutex);
  const auto found = sources.find(id);
  return found == sources.end() ? nullptr : found->second;
}

}  // namespace manta
