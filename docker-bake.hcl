# The images:  docker buildx bake            all of them
#              docker buildx bake scheduler  one

variable "REPOSITORY" { default = "edgecore" }
variable "TAG" { default = "dev" }

variable "BASE_IMAGE" {
  default     = "python:3.11-slim-bookworm"
  description = "Any Linux with Python 3.11 and its venv module"
}

variable "NETWORK" {
  default     = "default"
  description = "`host` where builds reach the package index only through the machine's own network"
}

variable "PIP_CONFIG" {
  default     = ""
  description = "A pip.conf of yours; the build sees it as a secret, the image does not"
}

group "default" {
  targets = ["service"]
}

target "_common" {
  args    = { BASE_IMAGE = BASE_IMAGE }
  network = NETWORK
  secret  = PIP_CONFIG == "" ? [] : ["id=pip,src=${PIP_CONFIG}"]
}

target "service" {
  inherits = ["_common"]
  name     = service
  matrix   = { service = ["gateway", "scheduler", "inference", "preview", "cost", "analytics", "autoscaler"] }
  args     = { SERVICE = service }
  tags     = ["${REPOSITORY}/${service}:${TAG}"]
}
