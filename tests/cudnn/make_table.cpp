// Writes tests/cudnn/expected/engines.txt anew: build/cudnn_table > tests/cudnn/expected/engines.txt
#include <iostream>

#include "tests/cudnn/survey.h"

int main() {
  using namespace plumage::test;
  if (!load_driver()) {
    std::cerr << "no libcuda.so, neither the driver's nor the one that the toolkit links with: the fusions cannot be asked for\n";
    return 1;
  }
  std::cout << "# " << cudnn_version() << ". Of each convolution, for h100 batch 1, 32, 128, then a100:\n"
            << "# engines that may be used / number of the first / its workspace in MiB\n";
  for (const SurveyRow& row : survey(false)) std::cout << row.str() << '\n';
}
