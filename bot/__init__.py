"""What the service decides: notices, answers, reach, enrolment. No messenger, no HTTP, no clock of its own."""
