// Renders and writes sets of birds. Next in the walk: data/dataset.cpp.
#include "data/synthetic_set.h"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <exception>
#include <fstream>
#include <system_error>

#include "data/write_png.h"
#include "tensor/errors.h"

namespace fs = std::filesystem;

namespace plumage {
namespace {

const char* folder_of(SyntheticSplit split) { return split == SyntheticSplit::train ? "train" : "test"; }

std::string padded(int64_t number, int digits) {
  std::string text = std::to_string(number);
  return std::string(text.size() < size_t(digits) ? size_t(digits) - text.size() : 0, '0') + text;
}

void check_set(const SyntheticSet& set, int64_t per_class) {
  if (set.species.empty()) throw InputError("synthetic: no species chosen; a set needs at least one");
  if (per_class < 1 || per_class > 1000000)
    throw InputError(message("synthetic: ", per_class, " pictures a class; it must be 1 to 1000000"));
  if (set.px < 8 || set.px > 1024)
    throw InputError(message("synthetic: pictures of ", set.px, " pixels; it must be 8 to 1024"));
}

void make_folder(const fs::path& dir) {
  std::error_code error;
  fs::create_directories(dir, error);
  if (error)
    throw MachineError(message("cannot make the folder ", dir.string(), ": ", error.message(),
                               "; check the path, space and permissions"));
}

/// Red where the bird is, yellow where its marks are.
Image mask_picture(const Rendered& rendered) {
  Image out(rendered.image.width, rendered.image.height);
  for (size_t i = 0; i < rendered.object.size(); ++i) {
    out.rgb[3 * i] = rendered.object[i];
    out.rgb[3 * i + 1] = rendered.marks[i];
  }
  return out;
}

const char* kColumns =
    "split,class,file,label,bars,eye_line,breast,tail_tip,cap,angle,scale,x,y,mirror,body_hue,body_"
    "saturation,"
    "body_value,light_marks,backdrop,background_r,background_g,background_b,second_r,second_g,second_b,"
    "texture_frequency,texture_angle,branches,light,light_angle,gain,noise\n";

void write_row(std::ostream& out, const std::string& where, int64_t label, const BirdFactors& f) {
  static constexpr const char* kBreasts[] = {"plain", "band", "spots"};
  static constexpr const char* kBackdrops[] = {"flat", "clouds", "stripes", "blotches"};
  const Species& s = f.species;
  out << where << ',' << label << ',' << s.bars << ',' << s.eye_line << ',' << kBreasts[int(s.breast)] << ','
      << s.tail_tip << ',' << s.cap << ',' << f.angle << ',' << f.scale << ',' << f.x << ',' << f.y << ','
      << f.mirror << ',' << f.body_hue << ',' << f.body_saturation << ',' << f.body_value << ','
      << f.light_marks << ',' << kBackdrops[int(f.backdrop)];
  for (float channel : f.background) out << ',' << channel;
  for (float channel : f.background_second) out << ',' << channel;
  out << ',' << f.texture_frequency << ',' << f.texture_angle << ',' << f.branches << ',' << f.light << ','
      << f.light_angle << ',' << f.gain << ',' << f.noise << '\n';
}

/// Calls body(i) for 0 .. count-1 on all threads; the first exception arrives here.
template <class Body>
void parallel_for(int64_t count, Body body) {
  std::exception_ptr failure;
#pragma omp parallel for schedule(dynamic, 8)
  for (int64_t i = 0; i < count; ++i) {
    try {
      body(i);
    } catch (...) {
#pragma omp critical(plumage_synthetic_failure)
      if (!failure) failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

void write_split(const fs::path& dir, const SyntheticSet& set, SyntheticSplit split, int64_t per_class,
                 std::ostream& table) {
  for (int64_t label = 0; label < int64_t(set.species.size()); ++label) {
    fs::path folder = fs::path(folder_of(split)) / class_folder(set, label);
    make_folder(dir / folder);
    make_folder(dir / "masks" / folder);
    parallel_for(per_class, [&](int64_t i) {
      Rendered rendered = render(set_factors(set, split, label, i), set.px);
      std::string file = padded(i, 5) + ".png";
      write_png(dir / folder / file, rendered.image);
      write_png(dir / "masks" / folder / file, mask_picture(rendered));
    });
    for (int64_t i = 0; i < per_class; ++i)
      write_row(table,
                std::string(folder_of(split)) + ',' + class_folder(set, label) + ',' + padded(i, 5) + ".png",
                label, set_factors(set, split, label, i));
  }
}

}  // namespace

BirdFactors set_factors(const SyntheticSet& set, SyntheticSplit split, int64_t label, int64_t i) {
  uint64_t index = uint64_t(split) << 40 | uint64_t(label) << 24 | uint64_t(i);
  return draw_factors(set.world, set.species[size_t(label)], set.seed, index);
}

LabelledImages make_synthetic(const SyntheticSet& set, SyntheticSplit split, int64_t per_class) {
  check_set(set, per_class);
  int64_t count = per_class * int64_t(set.species.size());
  LabelledImages out;
  out.images.resize(size_t(count));
  out.labels.resize(size_t(count));
  out.factors.resize(size_t(count));
  parallel_for(count, [&](int64_t n) {
    out.labels[size_t(n)] = n / per_class;
    out.factors[size_t(n)] = set_factors(set, split, n / per_class, n % per_class);
    out.images[size_t(n)] = render(out.factors[size_t(n)], set.px).image;
  });
  return out;
}

std::string class_folder(const SyntheticSet& set, int64_t label) {
  return padded(label, 3) + '.' + set.species[size_t(label)].name();
}

void write_synthetic(const fs::path& dir, const SyntheticSet& set, int64_t per_class) {
  check_set(set, per_class);
  std::error_code ignored;
  if (fs::exists(dir / "train", ignored) || fs::exists(dir / "test", ignored))
    throw InputError(message("synthetic: ", dir.string(), " already holds pictures (train or test); ",
                             "choose another folder or remove them"));
  make_folder(dir);
  fs::path table_path = dir / "factors.csv";
  std::ofstream table(table_path);
  table << kColumns;
  write_split(dir, set, SyntheticSplit::train, per_class, table);
  write_split(dir, set, SyntheticSplit::test, std::max<int64_t>(1, per_class / 2), table);
  table.close();
  if (!table)
    throw MachineError(message("cannot write ", table_path.string(), ": ", std::strerror(errno),
                               "; check space and permissions"));
}

}  // namespace plumage
