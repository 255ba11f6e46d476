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

set(data ${PROJECT_SOURCE_DIR}/data)
file(GLOB decode_sources ${data}/decode.cpp ${data}/decode_jpeg.cpp ${data}/decode_pnm.cpp ${data}/decode_stb.cpp ${data}/orientation.cpp)
file(GLOB dataset_sources ${data}/dataset*.cpp ${data}/matlab_*.cpp)
list(APPEND dataset_sources ${data}/text_table.cpp ${data}/list_file.cpp ${data}/split.cpp ${data}/checksum.cpp ${decode_sources})
plumage_fuzz(image ${decode_sources})
plumage_fuzz(matlab ${data}/matlab_file.cpp ${data}/matlab_layout.cpp)
plumage_fuzz(tables ${dataset_sources})
plumage_fuzz(config ${PROJECT_SOURCE_DIR}/cli/config.cpp ${data}/augment.cpp ${data}/recolour.cpp ${data}/resize.cpp)
foreach(name image matlab tables)  # what plumage_data has, for its sources
  target_compile_definitions(fuzz_${name} PRIVATE $<TARGET_PROPERTY:plumage_data,INTERFACE_COMPILE_DEFINITIONS>)
  target_link_libraries(fuzz_${name} PRIVATE $<$<BOOL:${PLUMAGE_HAS_JPEG}>:JPEG::JPEG>)
  if(PLUMAGE_HAS_MATIO)
    target_include_directories(fuzz_${name} PRIVATE ${MATIO_HEADER})
    target_link_libraries(fuzz_${name} PRIVATE ${MATIO_LIBRARY} ZLIB::ZLIB)
  endif()
endforeach()
