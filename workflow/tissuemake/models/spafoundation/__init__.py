"""SpaFoundation: a Vision Transformer taught on H&E tiles by self-distillation and masked patches (iBOT)."""
