# Fuzz targets, by clang's libFuzzer: tests/fuzz/NAME.cpp becomes fuzz/NAME with the sources that it fuzzes and nothing else.
#   cmake -S . -B build-fuzz -DPLUMAGE_FUZZ=ON -DCMAKE_CXX_COMPILER=clang++ && cmake --build build-fuzz --target fuzz
#   build-fuzz/fuzz/pickle -max_total_time=600 build-fuzz/corpus-pickle tests/fuzz/seeds/pickle
if(NOT CMAKE_CXX_COMPILER_ID MATCHES "Clang")
  message(FATAL_ERROR "plumage: PLUMAGE_FUZZ=ON needs clang: add -DCMAKE_CXX_COMPILER=clang++ (Debian: apt-get install clang)")
endif()
add_custom_target(fuzz)

function(plumage_fuzz name)
  add_executable(fuzz_${name} EXCLUDE_FROM_ALL ${PROJECT_SOURCE_DIR}/tests/fuzz/${name}.cpp ${ARGN})
  target_include_directories(fuzz_${name} PRIVATE ${PROJECT_SOURCE_DIR})
  target_compile_options(fuzz_${name} PRIVATE -O1 -g -fsanitize=fuzzer,address,undefined -fno-sanitize-recover=all)
  target_link_options(fuzz_${name} PRIVATE -fsanitize=fuzzer,address,undefined)
  set_target_properties(fuzz_${name} PROPERTIES OUTPUT_NAME ${name} RUNTIME_OUTPUT_DIRECTORY ${PROJECT_BINARY_DIR}/fuzz)
  add_dependencies(fuzz fuzz_${name})
endfunction()

set(weights ${PROJECT_SOURCE_DIR}/nn/weights)
set(pickle_sources ${weights}/input_file.cpp ${weights}/stored_tensor.cpp ${weights}/pickle.cpp ${weights}/pickle_globals.cpp
  ${weights}/pickle_opcodes.cpp)
set(safetensors_sources ${weights}/input_file.cpp ${weights}/stored_tensor.cpp ${weights}/safetensors_header.cpp
  ${weights}/safetensors_index.cpp)
set(pytorch_sources ${pickle_sources} ${weights}/pytorch_file.cpp ${weights}/zip_directory.cpp)
plumage_fuzz(pickle ${pickle_sources})
plumage_fuzz(zip ${pytorch_sources})
plumage_fuzz(legacy ${pytorch_sources})
plumage_fuzz(safetensors ${safetensors_sources})
