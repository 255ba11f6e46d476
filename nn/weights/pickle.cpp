// A stack machine with the calls taken out.
#include "nn/weights/pickle.h"

#include <algorithm>
#include <unordered_map>

#include "nn/weights/pickle_globals.h"
#include "nn/weights/pickle_opcodes.h"
#include "tensor/errors.h"

namespace plumage {

using Kind = PickleValue::Kind;

namespace {

// Far above any file of weights (a ResNet-50 with its optimiser: 10 thousand values), low enough for any
// machine.
constexpr size_t kMostValues = size_t(1) << 21, kMostTextBytes = size_t(1) << 28;
constexpr int64_t kMostSteps = int64_t(1) << 25, kMostReferences = int64_t(1) << 23;
constexpr size_t kMostArguments = 64, kLongestName = 4096;

bool is_container(Kind kind) { return kind == Kind::tuple || kind == Kind::list || kind == Kind::dictionary; }

class Interpreter {
 public:
  Interpreter(const InputFile& file, int64_t begin) : file_(file), scanner_(file, begin) {
    // Shared by all of their kind, as a byte of pickle could otherwise cost a value.
    none_ = add(Kind::none);
    true_ = add(Kind::boolean, 1);
    false_ = add(Kind::boolean, 0);
  }

  Pickle run() {
    for (int64_t steps = 0;; ++steps) {
      PickleStep step = scanner_.next();
      if (step.byte == '.') break;
      carry_out(step);
      if (steps > kMostSteps || references_ > kMostReferences || pickle_.values.size() > kMostValues ||
          stack_.size() > kMostValues || marks_.size() > kMostValues || memo_.size() > kMostValues)
        file_.refuse(message("its pickle makes more than ", kMostValues, " values; not a file of weights"));
    }
    pickle_.root = pop();
    pickle_.end = scanner_.position();
    return std::move(pickle_);
  }

 private:
  // clang-format off: one opcode a line
  void carry_out(const PickleStep& step) {
    switch (step.byte) {
      case 0x80: if (step.number > 5) broken("of an unknown protocol"); break;
      case 0x95: break;  // FRAME: a hint
      case '(': marks_.push_back(stack_.size()); break;
      case 'N': stack_.push_back(none_); break;
      case 0x88: stack_.push_back(true_); break;
      case 0x89: stack_.push_back(false_); break;
      case 'J': push(Kind::integer, int32_t(uint32_t(step.number))); break;
      case 'K': case 'M': push(Kind::integer, int64_t(step.number)); break;
      case 0x8a: push_long(step); break;
      case 'G': push(Kind::real); break;
      case 'T': case 'U': case 'X': case 0x8c: case 0x8d: push_text(step); break;
      case 'B': case 'C': case 0x8e: case 0x96: push(Kind::bytes); break;
      case ')': push_container(Kind::tuple, stack_.size()); break;
      case 't': push_container(Kind::tuple, pop_mark()); break;
      case 0x85: case 0x86: case 0x87: push_container(Kind::tuple, depth_less(size_t(step.byte - 0x84))); break;
      case ']': push_container(Kind::list, stack_.size()); break;
      case '}': push_container(Kind::dictionary, stack_.size()); break;
      case 'a': append(depth_less(1), Kind::list); break;
      case 'e': append(pop_mark(), Kind::list); break;
      case 's': append(depth_less(2), Kind::dictionary); break;
      case 'u': append(pop_mark(), Kind::dictionary); break;
      case 'c': push_global(step.module, step.name); break;
      case 0x93: push_stack_global(); break;
      case 'R': reduce(); break;   // a function and its arguments, as NEWOBJ a class and its
      case 0x81: reduce(); break;  // NEWOBJ
      case 'b': build(); break;
      case 'Q': push_storage(); break;
      case 'h': case 'j': recall(uint32_t(step.number)); break;
      case 'q': case 'r': memo_[uint32_t(step.number)] = top(); break;
      case 0x94: { PickleRef ref = top(); memo_[uint32_t(memo_.size())] = ref; break; }
      default: refuse_opcode(step);
    }
  }
  // clang-format on

  [[noreturn]] void broken(const std::string& how) {
    file_.refuse("its pickle is " + how + "; damaged or hostile");
  }
  [[noreturn]] void refuse_global(const std::string& module, const std::string& name) {
    file_.refuse(
        message("its pickle wants ", module.substr(0, 200), ".", name.substr(0, 200),
                ", which plain weights do not need: refused, nothing was run; where you trust the file, save"
                " only model.state_dict() from it"));
  }
  // Hostile pickles name what they want in other ways too; the message says what, if it stands further on.
  [[noreturn]] void refuse_opcode(const PickleStep& step) {
    std::string what = step.module.empty()
                           ? ""
                           : message(" (", step.module.substr(0, 200), ".", step.name.substr(0, 200), ")");
    const char* opcode = pickle_opcode(step.byte).name;
    if (what.empty()) what = wanted_further_on();
    file_.refuse(message("its pickle has the opcode ", opcode, what,
                         ", which weights do not need: refused, nothing was run"));
  }
  std::string wanted_further_on() {
    try {
      for (int i = 0; i < 100'000; ++i) {
        PickleStep step = scanner_.next();
        KnownGlobal known;
        bool names = step.byte == 'c' || step.byte == 'i';
        if (names && !find_global(step.module, step.name, &known))
          return message(" and wants ", step.module.substr(0, 200), ".", step.name.substr(0, 200));
        if (step.byte == '.') break;
      }
    } catch (const Error&) {  // it ends, or is no pickle from here on
    }
    return "";
  }

  PickleRef add(Kind kind, int64_t number = 0, uint32_t length = 0) {
    pickle_.values.push_back({kind, length, number});
    return PickleRef(pickle_.values.size() - 1);
  }
  void push(Kind kind, int64_t number = 0, uint32_t length = 0) {
    stack_.push_back(add(kind, number, length));
  }

  /// The stack as the current mark allows: nothing below the mark is touched.
  size_t floor() const { return marks_.empty() ? 0 : marks_.back(); }
  size_t depth_less(size_t count) {
    if (stack_.size() < floor() + count) broken("short of values");
    return stack_.size() - count;
  }
  PickleRef top() { return stack_[depth_less(1)]; }
  PickleRef pop() {
    PickleRef ref = top();
    stack_.pop_back();
    return ref;
  }
  size_t pop_mark() {
    if (marks_.empty()) broken("short of marks");
    size_t mark = marks_.back();
    marks_.pop_back();
    return mark;
  }

  void push_long(const PickleStep& step) {
    int64_t bytes = step.end - step.begin;
    if (bytes == 0) return push(Kind::integer, 0);
    uint8_t raw[8] = {};
    file_.read(step.begin, raw, std::min<int64_t>(bytes, 8));
    uint64_t value = 0;
    for (int i = 0; i < 8; ++i) value |= uint64_t(raw[i]) << (8 * i);
    if (bytes < 8 && raw[bytes - 1] & 0x80) value |= ~uint64_t(0) << (8 * bytes);  // two's complement
    push(bytes <= 8 ? Kind::integer : Kind::wide_integer, int64_t(value));
  }

  void push_text(const PickleStep& step) {
    size_t at = pickle_.texts.size(), bytes = size_t(step.end - step.begin);
    if (bytes > kMostTextBytes - at)
      file_.refuse(message("its pickle holds more than ", kMostTextBytes, " bytes of text"));
    pickle_.texts.resize(at + bytes);
    file_.read(step.begin, pickle_.texts.data() + at, int64_t(bytes));
    push(Kind::text, int64_t(at), uint32_t(bytes));
  }

  PickleRef new_container(Kind kind, std::vector<PickleRef> items) {
    references_ += int64_t(items.size());
    pickle_.children.push_back(std::move(items));
    return add(kind, int64_t(pickle_.children.size() - 1));
  }
  /// A container of what stands on the stack from `first` on.
  void push_container(Kind kind, size_t first) {
    PickleRef made = new_container(kind, {stack_.begin() + int64_t(first), stack_.end()});
    stack_.resize(first);
    stack_.push_back(made);
  }

  /// Hands what stands on the stack from `first` on to the container below it.
  void append(size_t first, Kind kind) {
    if (first <= floor()) broken("short of values");
    const PickleValue& target = pickle_.values[stack_[first - 1]];
    if (kind == Kind::dictionary && (stack_.size() - first) % 2) broken("short of a value for a key");
    if (target.kind == kind) {
      auto& items = pickle_.children[size_t(target.number)];
      items.insert(items.end(), stack_.begin() + int64_t(first), stack_.end());
      references_ += int64_t(stack_.size() - first);
    } else if (target.kind != Kind::record) {
      broken("adding to what is no container");
    }
    stack_.resize(first);
  }

  void push_global(const std::string& module, const std::string& name) {
    KnownGlobal known;
    if (!find_global(module, name, &known)) refuse_global(module, name);
    push(Kind::global, int64_t(known.role), uint32_t(known.type));
  }
  void push_stack_global() {
    PickleRef name = pop(), module = pop();
    push_global(name_text(module), name_text(name));
  }
  /// A text that names something.
  std::string name_text(PickleRef ref) {
    if (!pickle_.is(ref, Kind::text)) broken("naming something by what is no text");
    if (pickle_.at(ref).length > kLongestName)
      broken(message("naming something by ", pickle_.at(ref).length, " letters"));
    return pickle_.text(ref);
  }

  void reduce() {
    PickleRef arguments = pop(), function = pop();
    if (!pickle_.is(arguments, Kind::tuple)) broken("calling with what are no arguments");
    if (pickle_.items(arguments).size() > kMostArguments) broken("calling with too many arguments");
    stack_.push_back(call(function, pickle_.items(arguments)));
  }

  /// What the call would have made. `arguments` by value: the tables may grow.
  PickleRef call(PickleRef function, std::vector<PickleRef> arguments) {
    for (int depth = 0; depth < 2; ++depth) {  // a typed call has one call inside
      if (!pickle_.is(function, Kind::global)) broken("calling what is no function");
      switch (GlobalRole(pickle_.at(function).number)) {
        case GlobalRole::dictionary:
          return new_dictionary(arguments);
        case GlobalRole::list: {
          std::vector<PickleRef> items;
          if (!arguments.empty()) items = pickle_.items(arguments[0]);
          return new_container(Kind::list, std::move(items));
        }
        case GlobalRole::record:
          return add(Kind::record);
        case GlobalRole::tensor_v1:
          return new_tensor(arguments, 4);
        case GlobalRole::tensor_v2:
          return new_tensor(arguments, 6);
        case GlobalRole::tensor_v3:
          return new_tensor(arguments, 7);
        case GlobalRole::first_argument:
          if (arguments.empty() || !pickle_.is(arguments[0], Kind::tensor))
            broken("making a parameter of no tensor");
          return arguments[0];
        case GlobalRole::typed_call:
          if (arguments.size() < 3 || pickle_.items(arguments[2]).size() > kMostArguments)
            broken("rebuilding a tensor of no type");
          function = arguments[0];
          arguments = std::vector<PickleRef>(pickle_.items(arguments[2]));
          break;
        case GlobalRole::element_type:
        case GlobalRole::untyped_storage:
          broken("calling a type of elements");
      }
    }
    broken("calling what is no function");
  }

  /// OrderedDict(), or OrderedDict([[key, value], ..]) as Python 2 wrote it.
  PickleRef new_dictionary(const std::vector<PickleRef>& arguments) {
    std::vector<PickleRef> items;
    for (PickleRef argument : arguments) {
      if (pickle_.is(argument, Kind::dictionary)) items = pickle_.items(argument);
      if (!pickle_.is(argument, Kind::list)) continue;  // defaultdict's factory
      for (PickleRef pair : pickle_.items(argument)) {
        const auto& two = pickle_.items(pair);
        if (two.size() != 2) broken("making a dictionary of what are no pairs");
        items.insert(items.end(), two.begin(), two.end());
      }
    }
    return new_container(Kind::dictionary, std::move(items));
  }

  std::vector<int64_t> sizes(PickleRef ref) {
    Kind kind = pickle_.at(ref).kind;
    if (kind != Kind::tuple && kind != Kind::list) broken("giving a tensor no shape");
    if (pickle_.items(ref).size() > 64) broken("giving a tensor more than 64 dimensions");
    std::vector<int64_t> numbers;
    for (PickleRef item : pickle_.items(ref)) numbers.push_back(integer(item));
    return numbers;
  }
  int64_t integer(PickleRef ref) {
    if (!pickle_.is(ref, Kind::integer)) broken("giving something else where a whole number belongs");
    return pickle_.at(ref).number;
  }

  PickleRef new_tensor(const std::vector<PickleRef>& arguments, size_t at_least) {
    if (arguments.size() < at_least || !pickle_.is(arguments[0], Kind::storage))
      broken("making a tensor of no storage");
    PickleTensor tensor;
    tensor.storage = uint32_t(pickle_.at(arguments[0]).number);
    tensor.offset = integer(arguments[1]);
    tensor.shape = sizes(arguments[2]);
    tensor.strides = sizes(arguments[3]);
    tensor.type = pickle_.storages[tensor.storage].type;
    if (at_least == 7) {
      const PickleValue& dtype = pickle_.at(arguments[6]);
      if (dtype.kind != Kind::global || GlobalRole(dtype.number) != GlobalRole::element_type)
        broken("making a tensor of no type");
      tensor.type = StoredType(dtype.length);
    }
    pickle_.tensors.push_back(std::move(tensor));
    return add(Kind::tensor, int64_t(pickle_.tensors.size() - 1));
  }

  /// BUILD gives an object its attributes; none of them matters here.
  void build() {
    pop();
    Kind kind = pickle_.at(top()).kind;
    if (kind != Kind::record && kind != Kind::tensor && !is_container(kind))
      broken("giving attributes to what is no object");
  }

  void recall(uint32_t number) {
    auto found = memo_.find(number);
    if (found == memo_.end()) broken("recalling what it never kept");
    stack_.push_back(found->second);
  }

  /// The persistent id ('storage', type, key, device, elements[, view]), view: None or (key, first,
  /// elements).
  void push_storage() {
    PickleRef id = pop();
    const auto& parts = pickle_.items(id);
    if (parts.size() < 5 || name_text(parts[0]) != "storage") broken("referring to what is no storage");
    const PickleValue& type = pickle_.at(parts[1]);
    GlobalRole role = GlobalRole(type.number);
    bool untyped = role == GlobalRole::untyped_storage;
    if (type.kind != Kind::global || (role != GlobalRole::element_type && !untyped))
      broken("referring to a storage of no type");
    PickleStorage storage{name_text(parts[2]), untyped ? StoredType::u8 : StoredType(type.length),
                          integer(parts[4]), 0};
    if (storage.count < 0) broken("referring to a storage of negative size");
    if (parts.size() > 5 && pickle_.is(parts[5], Kind::tuple)) {
      const auto& view = pickle_.items(parts[5]);
      if (view.size() != 3) broken("referring to a part of a storage that is none");
      int64_t first = integer(view[1]), count = integer(view[2]);
      if (first < 0 || count < 0 || first > storage.count || count > storage.count - first)
        broken("referring to a part of a storage that leaves it");
      storage.view_first = first;
      storage.count = count;
    }
    pickle_.storages.push_back(std::move(storage));
    push(Kind::storage, int64_t(pickle_.storages.size() - 1));
  }

  const InputFile& file_;
  PickleScanner scanner_;
  Pickle pickle_;
  std::vector<PickleRef> stack_;
  std::vector<size_t> marks_;
  std::unordered_map<uint32_t, PickleRef> memo_;
  int64_t references_ = 0;  ///< from containers to their items
  PickleRef none_, true_, false_;
};

}  // namespace

std::string Pickle::text(PickleRef ref) const {
  const PickleValue& value = values[ref];
  return value.kind == Kind::text ? texts.substr(size_t(value.number), value.length) : "";
}

const std::vector<PickleRef>& Pickle::items(PickleRef ref) const {
  static const std::vector<PickleRef> none;
  return is_container(values[ref].kind) ? children[size_t(values[ref].number)] : none;
}

Pickle read_pickle(const InputFile& file, int64_t begin) { return Interpreter(file, begin).run(); }

}  // namespace plumage
