"""What is learned from anonymized data: by the evaluators f_T' and f_B', and the code that every attacker shares."""
