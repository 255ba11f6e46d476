# Nothing to install yet but the libraries that stand alone: tensor and autograd, as a CMake package.
