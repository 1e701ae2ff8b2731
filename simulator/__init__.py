"""Both venues on loopback: real protocols and signature checks around one matching engine per venue."""
