#include "runtime/function.hpp"

#include <elf.h>
#include <link.h>
#include <unistd.h>

#include <algorithm>
#include <map>
#include <mutex>

namespace manta::detail {

namespace {

std::atomic<FunctionEntry*> g_first{nullptr};

std::uint64_t hash_bytes(const void* data, std::size_t size) {  // FNV-1a
  auto hash = std::uint64_t{14695981039346656037u};
  for (std::size_t i = 0; i < size; ++i) hash = (hash ^ static_cast<const unsigned char*>(data)[i]) * 1099511628211u;
  return hash;
}

/// The GNU build id in a module's notes, or what comes nearest: its segments' sizes.
std::uint64_t module_id(const dl_phdr_info& info) {
  std::uint64_t shape = hash_bytes(info.dlpi_phdr, sizeof(ElfW(Phdr)) * info.dlpi_phnum);
  for (int i = 0; i < info.dlpi_phnum; ++i) {
    const auto& header = info.dlpi_phdr[i];
    if (header.p_type != PT_NOTE) continue;
    const char* at = reinterpret_cast<const char*>(info.dlpi_addr + header.p_vaddr);
    const char* end = at + header.p_memsz;
    while (at + sizeof(ElfW(Nhdr)) <= end) {
      const auto* note = reinterpret_cast<const ElfW(Nhdr)*>(at);
      const std::size_t name_size = (std::size_t{note->n_namesz} + 3) / 4 * 4, size = note->n_descsz;
      const char* name = at + sizeof *note;
      if (name_size + size > static_cast<std::size_t>(end - name)) break;  // damaged
      const char* description = name + name_size;
      if (note->n_type == NT_GNU_BUILD_ID && std::string_view(name, std::min<std::size_t>(name_size, 3)) == "GNU")
        return hash_bytes(description, size);
      const auto padded = (size + 3) / 4 * 4;  // of the last one perhaps beyond the end
      if (padded > static_cast<std::size_t>(end - description)) break;
      at = description + padded;
    }
  }
  return shape;
}

struct Module {
  std::uintptr_t begin, end, base;
  std::uint64_t id;
};

std::vector<Module> loaded_modules() {
  std::vector<Module> modules;
  ::dl_iterate_phdr(
      [](dl_phdr_info* info, std::size_t, void* out) {
        for (int i = 0; i < info->dlpi_phnum; ++i) {
          const auto& header = info->dlpi_phdr[i];
          if (header.p_type != PT_LOAD || !(header.p_flags & PF_X)) continue;
          const auto begin = info->dlpi_addr + header.p_vaddr;
          static_cast<std::vector<Module>*>(out)->push_back({begin, begin + header.p_memsz, info->dlpi_addr, module_id(*info)});
        }
        return 0;
      },
      &modules);
  return modules;
}

class FunctionTable {
 public:
  FunctionKey key_of(const FunctionEntry& entry) {
    std::lock_guard lock(mutex_);
    refresh();
    return keys_.at(&entry);
  }
  const FunctionEntry* find(FunctionKey key) {
    std::lock_guard lock(mutex_);
    refresh();
    auto it = entries_.find(key);
    return it == entries_.end() ? nullptr : it->second;
  }

 private:
  void refresh() {
    auto* first = g_first.load(std::memory_order_acquire);
    if (first == seen_) return;
    const auto modules = loaded_modules();
    for (auto* entry = first; entry != seen_; entry = entry->next) {
      const auto address = reinterpret_cast<std::uintptr_t>(entry->address);
      auto module = std::find_if(modules.begin(), modules.end(),
                                 [&](const Module& m) { return address >= m.begin && address < m.end; });
      MANTA_CHECK(module != modules.end());
      const FunctionKey key{module->id, address - module->base};
      keys_[entry] = key;
      entries_[key] = entry;
    }
    seen_ = first;
  }
  std::mutex mutex_;
  FunctionEntry* seen_ = nullptr;
  std::map<const FunctionEntry*, FunctionKey> keys_;
  std::map<FunctionKey, const FunctionEntry*> entries_;
};

FunctionTable& table() {
  static auto* functions = new FunctionTable;  // never destroyed: used until the last thread ends
  return *functions;
}

}  // namespace

const std::shared_ptr<const Void>& no_value() noexcept {
  static const auto& value = *new std::shared_ptr<const Void>(std::make_shared<const Void>());
  return value;
}

void ActorObject::throw_other_class(const ActorObject* self, const std::type_info& wanted) {
  throw ProtocolError("what needs an actor of class " + demangle(wanted.name()) + " came to " +
                      (!self ? "a task" : self->type ? "one of class " + demangle(self->type->name()) : "one that is not constructed") +
                      ": the handle that it was called by, or the call, was damaged");
}

std::unique_ptr<Coroutine> TaskRecord::begin(ActorObject*, Context&) {
  MANTA_CHECK(!"not a coroutine");
  return nullptr;
}

void register_function(FunctionEntry& entry) noexcept {
  entry.next = g_first.load(std::memory_order_relaxed);
  while (!g_first.compare_exchange_weak(entry.next, &entry, std::memory_order_release)) {
  }
}

namespace {
class FailureShare final : public Cell::Waiter {
 public:
  FailureShare(std::weak_ptr<Cell> first, std::vector<std::shared_ptr<Cell>> others) : first_(std::move(first)), others_(std::move(others)) {}
  void settled() override {
    const auto first = first_.lock();
    if (first) first->fail_together(others_);
    others_.clear();
  }

 private:
  std::weak_ptr<Cell> first_;
  std::vector<std::shared_ptr<Cell>> others_;
};
}  // namespace

void share_failure(const std::shared_ptr<Cell>& first, const std::vector<std::shared_ptr<Cell>>& others) {
  first->on_settled(std::make_shared<FailureShare>(first, others));
}

FunctionKey function_key(const FunctionEntry& entry) { return table().key_of(entry); }

const FunctionEntry* find_function(FunctionKey key) { return table().find(key); }

std::uint64_t program_build_id() {
  static const std::uint64_t id = [] {
    const auto modules = loaded_modules();
    return modules.empty() ? 0 : modules.front().id;  // the executable comes first
  }();
  return id;
}

const std::shared_ptr<const std::string>& shared_name(FunctionEntry& entry) {
  const auto* name = entry.shared_name.load(std::memory_order_acquire);
  if (name) return *name;
  // Kept for ever, so it counts no references: all threads would write to that one counter, at each task.
  const auto* text = new std::string(entry.name());
  const auto* made = new std::shared_ptr<const std::string>(std::shared_ptr<const void>(), text);
  if (entry.shared_name.compare_exchange_strong(name, made, std::memory_order_acq_rel)) return *made;
  delete made;
  delete text;
  return *name;
}

std::string name_from_pretty_function(std::string_view pretty) {
  // GCC: "std::string manta::detail::function_name() [with auto F = square; std::string = …]"
  constexpr std::string_view kMark = "F = ";
  const auto start = pretty.find(kMark);
  if (start == std::string_view::npos) return std::string(pretty);
  auto name = pretty.substr(start + kMark.size());
  if (auto end = name.find("; std::string"); end != std::string_view::npos)
    name = name.substr(0, end);
  else if (!name.empty() && name.back() == ']')
    name.remove_suffix(1);
  if (!name.empty() && name.front() == '&') name.remove_prefix(1);
  if (!name.empty() && name.front() == '(' && name.back() == ')') name = name.substr(1, name.size() - 2);
  if (!name.empty() && name.front() == '&') name.remove_prefix(1);
  if (name.find("<lambda") != std::string_view::npos) return "lambda";
  return std::string(name);
}

}  // namespace manta::detail
