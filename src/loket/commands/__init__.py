"""What `loket` can be told, by subject: each module offers its commands and carries them out."""
