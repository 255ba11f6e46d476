// What the pickle interpreter takes, what it refuses by name, and that nothing hostile costs more than its
// bytes.
#include "nn/weights/pickle.h"

#include "nn/weights/pickle_opcodes.h"
#include "tests/nn/crafted.h"
#include "tests/nn/peers.h"

using namespace plumage;
using namespace plumage::test;
using namespace plumage::test::pickled;
using Kind = PickleValue::Kind;

namespace {

Pickle read(const std::string& bytes) { return read_pickle(InputFile("crafted", bytes), 0); }

std::string refusal(const std::string& bytes) {
  std::string says = thrown<InputError>([&] { read(bytes); });
  CHECK(says.starts_with("crafted: "));
  CHECK(!contains(says, "\n"));
  return says;
}

}  // namespace

TEST_CASE("a pickle's values come out as they are") {
  Pickle p = read(whole("](" + number(-7) + "K\xffM\xff\xffN\x88\x89G" + std::string(8, 'x') + text("a\nb") +
                        "U\x02hi" + "\x8c\x01z" + "\x8a\x02" + little(0xff00, 2) + "C\x03...)\x8a\x08" +
                        little(uint64_t(1) << 62, 8) + "\x85\x86}e"));
  const auto& items = p.items(p.root);
  REQUIRE(items.size() == 14);
  CHECK(p.at(items[0]).number == -7);
  CHECK(p.at(items[1]).number == 255);
  CHECK(p.at(items[2]).number == 65535);
  CHECK(p.is(items[3], Kind::none));
  CHECK(p.at(items[4]).number == 1);
  CHECK(p.at(items[5]).number == 0);
  CHECK(p.is(items[6], Kind::real));
  CHECK(p.text(items[7]) == "a\nb");
  CHECK(p.text(items[8]) == "hi");
  CHECK(p.text(items[9]) == "z");
  CHECK(p.at(items[10]).number == -256);
  CHECK(p.is(items[11], Kind::bytes));
  CHECK(p.items(items[12]).size() == 2);  // ((), (2^62,))
  CHECK(p.at(p.items(p.items(items[12])[1])[0]).number == int64_t(1) << 62);
  CHECK(p.is(items[13], Kind::dictionary));
}

TEST_CASE("the memo keeps what is shared shared, by number and in order") {
  Pickle p = read(
      "\x80\x04]\x94(\x8c\x01"
      "a\x94h\x01h" +
      little(0, 1) + "j" + little(1, 4) +
      "q\x07h\x07"
      "e.");
  const auto& items = p.items(p.root);
  REQUIRE(items.size() == 5);
  CHECK(items[0] == items[1]);
  CHECK(items[2] == p.root);  // a list in itself
  CHECK(items[3] == items[4]);
}

TEST_CASE(
    "dictionaries of every make: OrderedDict with attributes, Python 2's pairs, defaultdict, Namespace") {
  std::string pairs = "](](" + text("k") + number(5) + "ee";
  for (std::string body : {"}" + text("k") + number(5) + "s", dictionary({text("k"), number(5)}),
                           global("collections", "OrderedDict") + ")R(" + text("k") + number(5) + "u}" +
                               text("_metadata") + "}sb",
                           global("collections", "OrderedDict") + "(" + pairs + "tR",
                           global("collections", "defaultdict") + "(" + global("__builtin__", "list") +
                               "tR(" + text("k") + number(5) + "u"}) {
    Pickle p = read(whole(body));
    CHECK(p.is(p.root, Kind::dictionary));
    REQUIRE(p.items(p.root).size() == 2);
    CHECK(p.text(p.items(p.root)[0]) == "k");
  }
  CHECK(read(whole(global("argparse", "Namespace") + ")\x81}" + text("lr") + "G" + std::string(8, 0) + "sb"))
            .values.back()
            .kind != Kind::tensor);
}

TEST_CASE("classes and functions that weights do not need are refused by name; nothing is called") {
  struct Case {
    std::string body, name;
  };
  std::string system = global("posix", "system") + text("touch /tmp/plumage-pwned") + "\x85R";
  for (const Case& c : std::vector<Case>{
           {system, "posix.system"},
           {dictionary({text("state_dict"), "}", text("x"), system}), "posix.system"},
           {global("builtins", "eval") + text("1") + "\x85R", "builtins.eval"},
           {global("__builtin__", "getattr"), "__builtin__.getattr"},
           {text("os") + text("system") + "\x93", "os.system"},
           {text("torch") + text("load") + "\x93", "torch.load"},
           {"(" + text("id") + "ios\nsystem\n", "os.system"},
           {"(S'id'\nios\nsystem\n", "os.system"},  // protocol 0
           {"(cos\nsystem\nS'id'\no", "os.system"},
           {"I1\n" + system, "posix.system"},  // an opcode that is refused comes first
           {global("torch.storage", "_load_from_bytes"), "torch.storage._load_from_bytes"},
           {global("torch.nn.modules.conv", "Conv2d") + ")\x81", "torch.nn.modules.conv.Conv2d"},
           {global("torch._utils", "_rebuild_sparse_tensor"), "torch._utils._rebuild_sparse_tensor"},
           {global("torch", "ComplexFloatStorage"), "torch.ComplexFloatStorage"},
           {global("collections", "OrderedDict.__class__"), "collections.OrderedDict.__class__"}}) {
    CAPTURE(c.name);
    CHECK_MESSAGE(contains(refusal(whole(c.body)), c.name), refusal(whole(c.body)));
  }
  CHECK(!std::filesystem::exists("/tmp/plumage-pwned"));
}

TEST_CASE("every opcode that tensors do not need is refused by its name") {
  const std::string taken =
      "(.N\x88\x89JKM\x8aGTUX\x8c\x8d"
      "BC\x8e\x96)t\x85\x86\x87]}aesuc\x93R\x81"
      "bQhjqr\x94\x80\x95";
  int refused = 0;
  for (int byte = 0; byte < 256; ++byte) {
    if (taken.find(char(byte)) != std::string::npos) continue;
    const PickleOpcode& opcode = pickle_opcode(uint8_t(byte));
    std::string says = refusal("\x80\x02" + std::string(1, char(byte)) + little(1, 8) + "\n\n.");
    CAPTURE(byte);
    CHECK_MESSAGE(
        contains(says, opcode.argument == PickleArgument::unknown ? "no pickle opcode" : opcode.name), says);
    ++refused;
  }
  CHECK(refused == 256 - int(taken.size()));
}

TEST_CASE("pickles that make no sense are refused") {
  std::string one = storage("0", 1), dict = global("collections", "OrderedDict");
  for (const std::string& body : std::vector<std::string>{
           "",
           "N(",
           "t",
           "(e",
           "a",
           "]a",
           "Na",
           "N(Ne",
           "}(Nu",
           "}Ns",
           "NNs",
           "h\x05",
           "\x94",
           "q\x01",
           "\x85",
           "N\x86",
           "R",
           "NR",
           "N)R",
           dict + "NR",
           "NNb",
           "]N(b",
           "b",
           "NQ",
           ")Q",
           "(NNNNNtQ",
           text("storage") + "\x85Q",
           "\x93",
           "NN\x93",
           "(" + text("storage") + dict + text("0") + text("cpu") + number(1) + "tQ",
           storage("0", -1),
           "(" + text("storage") + global("torch", "FloatStorage") + text("0") + text("cpu") + text("1") +
               "tQ",
           global("torch", "FloatStorage") + ")R",
           global("torch.nn.parameter", "Parameter") + ")R",
           global("torch.nn.parameter", "Parameter") + "N\x85R",
           global("torch._utils", "_rebuild_tensor_v2") + ")R",
           global("torch._utils", "_rebuild_tensor_v2") + "(" + one + "NNNNNtR",
           global("torch._utils", "_rebuild_tensor_v2") + "(" + one + number(0) + number(2) + number(1) +
               "\x89NtR",
           global("torch._utils", "_rebuild_tensor_v2") + "(" + one + number(0) + "(NtNNNtR",
           global("torch._tensor", "_rebuild_from_type_v2") + "(NN)tR",
           global("torch._tensor", "_rebuild_from_type_v2") + "(" +
               global("torch._tensor", "_rebuild_from_type_v2") + "N(NN)ttR",
           dict + "](](Nee\x85R"}) {
    CAPTURE(body);
    CHECK_THROWS_AS(read(whole(body)), InputError);
  }
  CHECK(contains(refusal("\x80\x09N."), "unknown protocol"));
}

TEST_CASE("what claims more than the file has is refused before memory is taken") {
  for (std::string claim :
       {"X" + little(0xffffffff, 4), "\x8d" + little(uint64_t(1) << 62, 8), "\x8d" + little(~uint64_t(0), 8),
        "T" + little(0x7fffffff, 4), "\x96" + little(uint64_t(1) << 40, 8)})
    CHECK(contains(refusal("\x80\x02" + claim + "ab."), "more than the file has"));
  CHECK(contains(refusal("\x80\x02"
                         "c" +
                         std::string(100'000, 'a')),
                 "a line without an end"));
}

TEST_CASE("deep, cyclic and huge pickles end soon") {
  std::string deep;
  for (int i = 0; i < 1'000'000; ++i) deep += "]";
  deep += std::string(999'999, 'a');
  Pickle p = read(whole(deep));  // a list in a list in a list: kept, never walked recursively
  CHECK(p.values.size() > 1'000'000);
  CHECK(contains(refusal(whole(std::string(5'000'000, 'K'))), "values"));
  CHECK(contains(refusal(whole(std::string(3'000'000, 'N'))), "values"));
  CHECK(contains(refusal(whole(std::string(3'000'000, '('))), "values"));
  std::string doubling =
      "](" + std::string(1000, 'N') + "eq\x01";  // ten thousand copies of a long list by reference
  for (int i = 0; i < 10'000; ++i) doubling += "h\x01\x85" + std::string("q\x02");
  CHECK_NOTHROW(read(whole(doubling + "t").insert(2, "(")));
  std::string copies = "](" + std::string(1'000'000, 'N') + "eq\x01";
  for (int i = 0; i < 100; ++i) copies += global("__builtin__", "list") + "h\x01\x85R";
  CHECK(contains(refusal(whole(copies)), "values"));
}

TEST_CASE("a sound pickle cut or changed at any byte is read or refused; never worse") {
  std::string sound = whole(dictionary({text("a"), tensor(storage("0", 6), 0, {2, 3}, {3, 1}), text("b"),
                                        tensor(storage("0", 6), 1, {2}, {1}), text("n"),
                                        "](" + number(1) +
                                            "K\x02"
                                            "e"}));
  CHECK(read(sound).tensors.size() == 2);
  for (size_t cut = 0; cut < sound.size(); ++cut) CHECK_THROWS_AS(read(sound.substr(0, cut)), InputError);
  int refused = 0;
  for (size_t at = 0; at < sound.size(); ++at)
    for (int byte : {0, 0x28, 0x2e, 0x52, 0x74, 0x75, 0x85, 0x93, 0xff}) {
      std::string changed = sound;
      changed[at] = char(byte);
      try {
        read(changed);
      } catch (const InputError&) {
        ++refused;
      }
    }
  CHECK(refused > 1000);
}
