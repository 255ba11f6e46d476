// Which devices a build's code runs on, by CMake's list of architectures.
#include <sstream>

#include "tensor/accelerator.h"

namespace plumage::accelerator {

bool architecture_fits(const std::string& architectures, int major, int minor) {
  std::istringstream list(architectures);
  for (std::string item; std::getline(list, item, ',');) {
    int number = std::atoi(item.c_str());
    bool machine_code = item.find("-virtual") == std::string::npos, ptx = item.find("-real") == std::string::npos;
    // Machine code serves later devices of its own generation; PTX is compiled by the driver for any later one.
    if (machine_code && number / 10 == major && number % 10 <= minor) return true;
    if (ptx && number > 0 && number <= major * 10 + minor) return true;
  }
  return false;
}

}  // namespace plumage::accelerator
