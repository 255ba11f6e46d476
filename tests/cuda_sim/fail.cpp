// Messages, and the names of kernels: the runtime is handed an address, and a student wants to read a name.
#include "tests/cuda_sim/fail.h"

#include <cxxabi.h>
#include <elf.h>
#include <link.h>

#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <string>
#include <vector>

#include "tests/cuda_sim/block.h"

namespace cuda_sim {
namespace {

// Addresses of the program's functions, also of those that the dynamic table does not hold (unnamed
// namespaces).
std::map<uintptr_t, std::string> read_symbols() {
  std::map<uintptr_t, std::string> names;
  std::ifstream file("/proc/self/exe", std::ios::binary);
  auto read = [&](uint64_t offset, auto* to, size_t count) {
    file.seekg(static_cast<std::streamoff>(offset));
    file.read(reinterpret_cast<char*>(to), static_cast<std::streamsize>(count * sizeof *to));
    return file.good();
  };
  Elf64_Ehdr header{};
  if (!read(0, &header, 1) || std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return names;
  uintptr_t base = 0;  // the first object is the program
  dl_iterate_phdr(
      [](dl_phdr_info* info, size_t, void* to) {
        *static_cast<uintptr_t*>(to) = info->dlpi_addr;
        return 1;
      },
      &base);
  std::vector<Elf64_Shdr> sections(header.e_shnum);
  if (!read(header.e_shoff, sections.data(), sections.size())) return names;
  for (const Elf64_Shdr& section : sections) {
    if (section.sh_type != SHT_SYMTAB || section.sh_link >= sections.size()) continue;
    std::vector<Elf64_Sym> symbols(section.sh_size / sizeof(Elf64_Sym));
    std::vector<char> strings(sections[section.sh_link].sh_size);
    if (!read(section.sh_offset, symbols.data(), symbols.size())) continue;
    if (!read(sections[section.sh_link].sh_offset, strings.data(), strings.size())) continue;
    for (const Elf64_Sym& symbol : symbols)
      if (ELF64_ST_TYPE(symbol.st_info) == STT_FUNC && symbol.st_value != 0 &&
          symbol.st_name < strings.size())
        names.emplace(base + symbol.st_value, &strings[symbol.st_name]);
  }
  return names;
}

std::string readable(const std::string& symbol) {
  int status = 0;
  char* plain = abi::__cxa_demangle(symbol.c_str(), nullptr, nullptr, &status);
  std::string name = status == 0 && plain ? plain : symbol;
  std::free(plain);
  if (name.rfind("void ", 0) == 0) name.erase(0, 5);  // a template's name begins with what it returns
  // Parameters tell nothing here: cut at the last parenthesis that opens at depth 0.
  int depth = 0;
  for (size_t i = name.size(); i-- > 0;) {
    if (name[i] == ')') ++depth;
    if (name[i] == '(' && --depth == 0) return name.substr(0, i);
  }
  return name;
}

}  // namespace

const char* function_name(const void* address) {
  static const auto* symbols = new std::map<uintptr_t, std::string>(read_symbols());
  static auto* known = new std::map<const void*, std::string>;  // never freed: messages at exit use it
  auto [it, fresh] = known->try_emplace(address);
  if (fresh) {
    auto symbol = symbols->find(reinterpret_cast<uintptr_t>(address));
    char number[32];
    std::snprintf(number, sizeof number, "%p", address);
    it->second = symbol == symbols->end() ? number : readable(symbol->second);
  }
  return it->second.c_str();
}

void fail(const char* format, ...) {
  char what[1024];
  va_list arguments;
  va_start(arguments, format);
  std::vsnprintf(what, sizeof what, format, arguments);
  va_end(arguments);
  std::fflush(stdout);
  std::fprintf(stderr, "cuda_sim: %s%s\n", current_place().c_str(), what);
  std::fflush(stderr);
  std::abort();
}

}  // namespace cuda_sim
